"""The CDK app: `cdk deploy` runs it through cdk.json, `python cdk/app.py` writes cdk.out itself.

    python cdk/app.py                                        for checks; needs no network
    npx cdk deploy --all                                     builds the code for Lambda and deploys
    npx cdk deploy --all -c 'syncline={"deployment": "test", "code": "lambda"}'
                                                             settings instead of cdk.json's

Without the CDK's command line nothing reads cdk.json, so the settings are their defaults, with the
code made of what is installed here; CDK_CONTEXT_JSON={"syncline": {...}} names others.
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
