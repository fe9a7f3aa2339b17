"""The CDK app of a project that has none of its own: `python -m syncline_cdk.app`.

Writes the cloud assembly to the folder CDK_OUTDIR, or where the CDK's command line says. Settings
come from the context value `syncline`; see `syncline_cdk.settings`.
"""

import os
import sys

from syncline_cdk import BundlingError, Deployment
from syncline_cdk.findings import check_by_nag
from syncline_cdk.settings import settings_from_context


def main() -> None:
    """Write the cloud assembly, after every rule of cdk-nag is met or answered."""
    # Not at the top: Syncline's package chooses the Node that this starts.
    from aws_cdk import App

    app = App(outdir=os.environ.get("CDK_OUTDIR", "cdk.out"))
    try:
        settings = settings_from_context(app.node.try_get_context("syncline"))
        deployment = Deployment(app, "Syncline", settings=settings)
    except (BundlingError, ValueError) as error:
        sys.exit(f"syncline: {error}")
    check_by_nag(app, deployment)
    app.synth()


if __name__ == "__main__":
    main()
