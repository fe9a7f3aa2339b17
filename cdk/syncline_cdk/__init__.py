"""The stacks that provision a Syncline deployment, for `cdk/app.py` and for any CDK app.

    from syncline_cdk import Deployment, DeploymentSettings

Importing the package starts Node, like importing `aws_cdk`, by which the CDK itself runs.
"""

from syncline_cdk.javascript_bridge import use_packaged_node

use_packaged_node()

from syncline_cdk.deployment import Deployment  # noqa: E402 - Node is chosen before it starts
from syncline_cdk.requirements import BundlingError  # noqa: E402 - see above
from syncline_cdk.settings import DeploymentSettings  # noqa: E402 - see above

__all__ = ["BundlingError", "Deployment", "DeploymentSettings"]
