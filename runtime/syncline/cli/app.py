"""The `syncline` command: its commands, and how their failures are told."""

import sys

import typer

from syncline.cli import (
    auth_commands,
    cost_command,
    data_commands,
    deploy_command,
    env_commands,
    function_commands,
    log_commands,
    project_commands,
    view_commands,
)
from syncline.cli.output import say
from syncline.errors import SynclineError

app = typer.Typer(
    name="syncline",
    help="Syncline: Python functions, live in every Convex client.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

app.command("init")(project_commands.init)
app.command("dev")(project_commands.dev)
app.command("push")(project_commands.push)
app.command("run")(function_commands.run)
app.command("data")(data_commands.data)
app.command("import")(data_commands.import_)
app.command("export")(data_commands.export)
app.command("function-spec")(function_commands.function_spec)
app.command("logs")(log_commands.logs)
app.command("usage")(function_commands.usage)
app.add_typer(env_commands.env, name="env")
app.command("codegen")(project_commands.codegen)
app.command("admin-key")(project_commands.admin_key)
app.add_typer(auth_commands.auth, name="auth")
app.command("deploy")(deploy_command.deploy)
app.command("destroy")(deploy_command.destroy)
app.command("verify")(view_commands.verify)
app.command("rebuild")(view_commands.rebuild)
app.command("cost")(cost_command.cost)


def main() -> None:
    """The entry point: exit code 1 and one clear message on failure."""
    try:
        app()
    except SynclineError as error:
        say(f"Error: {error.message}", "red")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
