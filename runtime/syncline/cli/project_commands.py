"""`init`, `dev`, `push`, `admin-key`, `codegen`: a project and its deployment."""

import asyncio
import io
import zipfile
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from syncline.cli.cdk_process import CONFIG_FILE, read_project
from syncline.cli.deploy_command import deployed_admin_key, stored_bundle
from syncline.cli.deployment_client import DeploymentClient
from syncline.cli.new_project import write_project
from syncline.cli.output import print_json, say
from syncline.cli.target import (
    DEFAULT_DATA,
    DEFAULT_URL,
    AdminKeyOption,
    DataOption,
    Target,
    UrlOption,
    local_admin_key,
    resolve_target,
)
from syncline.drivers.functions_lock import LOCK_FILE, find_lock, lock_text, pins_of
from syncline.errors import CallerError

if TYPE_CHECKING:
    from collections.abc import Mapping

FunctionsOption = Annotated[Path, typer.Option(help="The folder of the functions.")]
DEFAULT_FUNCTIONS = Path("functions")


class Cloud(StrEnum):
    """Where `syncline dev` runs the deployment."""

    EMBEDDED = "embedded"
    MOTO = "moto"


def init(
    directory: Annotated[Path, typer.Argument(help="Where; made if it isn't there.")] = Path(),
) -> None:
    """Start a new project that runs at once."""
    written = write_project(directory)
    for path in written:
        say(f"  {path}", "dim")
    say(f"A new project is in {directory.resolve()}.", "green")
    step = "" if directory == Path() else f"cd {directory} && "
    say(f"Next: {step}syncline dev")


def dev(
    functions: FunctionsOption = DEFAULT_FUNCTIONS,
    port: Annotated[int, typer.Option(min=1, max=65_535, help="The port on 127.0.0.1.")] = 3210,
    site_port: Annotated[
        int | None,
        typer.Option(min=1, max=65_535, help="The port of HTTP actions; otherwise the next one."),
    ] = None,
    data: DataOption = DEFAULT_DATA,
    watch: Annotated[bool, typer.Option(help="Push again after every save.")] = True,
    cloud: Annotated[
        Cloud, typer.Option(help="moto: the deployment's own stacks and Lambdas, on this machine.")
    ] = Cloud.EMBEDDED,
    disorder: Annotated[
        int | None,
        typer.Option(help="With --cloud moto: reorder and repeat messages, by this seed."),
    ] = None,
) -> None:
    """Run the local deployment: push the functions, watch them, show what they do."""
    if not functions.is_dir():
        raise CallerError(
            "FunctionsFolderMissing",
            f"There is no folder {functions}: `syncline init` makes an example, --functions names "
            "another one.",
        )
    if cloud is Cloud.MOTO:
        raise typer.Exit(_run_cloud(functions, port, data, watch=watch, disorder=disorder))
    from syncline.local.dev_server import DevOptions, run_dev_server

    options = DevOptions(
        functions=functions, data=data, port=port, site_port=site_port, watch=watch
    )
    raise typer.Exit(run_dev_server(options))


def _run_cloud(functions: Path, port: int, data: Path, *, watch: bool, disorder: int | None) -> int:
    try:
        from syncline.local_cloud.cloud_server import CloudServerOptions, run_cloud_server
    except ImportError as missing:
        raise CallerError(
            "MissingExtras",
            f"--cloud moto needs {missing.name}: pip install 'syncline[aws,cdk,local-cloud]'.",
        ) from missing
    has_project = Path(CONFIG_FILE).is_file()
    settings: Mapping[str, object] = read_project(Path(), {}).settings if has_project else {}
    return run_cloud_server(
        CloudServerOptions(
            functions=functions,
            data=data,
            folder=Path(),
            settings=settings,
            port=port,
            watch=watch,
            disorder=disorder,
        )
    )


def admin_key(
    data: DataOption = DEFAULT_DATA,
    deployment: Annotated[
        str | None, typer.Option(help="A deployment on AWS, whose secret your credentials read.")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="The AWS profile for it.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print URL and key as JSON.")] = False,
) -> None:
    """Print the admin key of the local deployment, or of one on AWS.

    For the official command line, set CONVEX_SELF_HOSTED_URL and CONVEX_SELF_HOSTED_ADMIN_KEY.
    """
    if deployment is None:
        url, key = DEFAULT_URL, local_admin_key(data)
    else:
        url, key = deployed_admin_key(deployment, profile)
    print_json({"url": url, "adminKey": key}, indent=False) if json else typer.echo(key)


def push(
    functions: FunctionsOption = DEFAULT_FUNCTIONS,
    bundle: Annotated[
        str | None,
        typer.Option(help="A former bundle (its hash, or a beginning of it): a rollback."),
    ] = None,
    lock: Annotated[
        Path | None,
        typer.Option(
            help="The functions' lock file [default: cdk.json's, or the one in their folder]."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print what changed as JSON.")] = False,
    deployment: Annotated[
        str | None,
        typer.Option(
            help="A deployment on AWS, whose address, key and bundles your credentials read.",
            rich_help_panel="Deployment",
        ),
    ] = None,
    url: UrlOption = None,
    admin_key: AdminKeyOption = None,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Push functions and schema to a running deployment: all of it, or nothing."""
    if bundle is not None and deployment is None:
        raise CallerError("BadOptions", "--bundle is kept on AWS: name its --deployment.")
    if deployment is not None:
        url, admin_key = deployed_admin_key(deployment, None)
    if bundle is not None and deployment is not None:
        archive = stored_bundle(deployment, bundle)
    else:
        archive = pack_functions(functions, _named_lock(lock, on_aws=deployment is not None))
    report = asyncio.run(_push(resolve_target(url, admin_key, data), archive))
    if json:
        print_json(report, indent=False)
        return
    say(f"Pushed bundle {report['bundle'][:12]}.", "green")
    for label, names in (
        ("changed module", report["changedModules"]),
        ("removed module", report["removedModules"]),
        ("added index", report["addedIndexes"]),
        ("removed index", report["removedIndexes"]),
        ("validated table", report["validatedTables"]),
    ):
        for name in names:
            say(f"  {label} {name}", "dim")
    if deployment is not None:
        for name in report["frequentCrons"]:
            say(f"  the cron {name!r} runs so often that the database never pauses", "yellow")


def _named_lock(given: Path | None, *, on_aws: bool) -> Path | None:
    """The lock file that the option names, or the settings of what is deployed from here."""
    if given is not None:
        if not given.is_file():
            raise CallerError("NoLock", f"There is no lock file {given}.")
        return given
    if not on_aws or not Path(CONFIG_FILE).is_file():
        return None
    named = read_project(Path(), {}).settings.get("functions_lock")
    return _named_lock(Path(str(named)), on_aws=True) if named else None


def pack_functions(folder: Path, lock: Path | None = None) -> bytes:
    """A zip of the Python files of a functions folder, and of what they need besides.

    `lock`: their lock file; without it the one in the folder, if there is one.

    Raises:
        CallerError: NoFunctions: there are none.
        DeveloperError: BadLock.
    """
    files = sorted(
        path
        for path in folder.rglob("*.py")
        if not any(
            part.startswith(".") or part in {"__pycache__", "_generated"}
            for part in path.relative_to(folder).parts
        )
    )
    if not files:
        raise CallerError("NoFunctions", f"There are no Python files in {folder}.")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            archive.write(path, path.relative_to(folder).as_posix())
        if (lock := lock or find_lock(folder)) is not None:
            archive.writestr(LOCK_FILE, lock_text(pins_of(lock)))
    return buffer.getvalue()


async def _push(target: Target, archive: bytes) -> dict[str, Any]:
    async with DeploymentClient.open(target) as client:
        return orjson.loads(await client.post("/api/syncline/push", archive))


def codegen(
    functions: FunctionsOption = DEFAULT_FUNCTIONS,
    out: Annotated[
        Path, typer.Option(help="The folder for api.js, api.d.ts and dataModel.d.ts.")
    ] = Path("convex/_generated"),
    stubs: Annotated[
        bool, typer.Option(help="Write _generated/data_model.pyi into the functions too.")
    ] = True,
) -> None:
    """Generate typed references to functions and tables; no deployment is needed."""
    from syncline.local.generated_files import write_generated
    from syncline.registration.loader import load_bundle

    spec = load_bundle(functions, "codegen").spec
    changed = write_generated(spec, out, functions if stubs else None)
    for path in changed:
        say(f"Wrote {path}")
    if not changed:
        say("Everything is up to date.")
