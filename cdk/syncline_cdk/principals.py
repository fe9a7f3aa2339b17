"""Who policies speak of, typed as the CDK's interfaces.

The CDK's generated classes name some parameters differently from the interfaces that they are
implementations of, which pyright can't take for the same; hence the casts, here and where other
classes of that kind are made.
"""

from typing import cast

from aws_cdk import Aws
from aws_cdk import aws_iam as iam


def service(host: str) -> iam.IPrincipal:
    """An AWS service, by its host name such as lambda.amazonaws.com."""
    return cast("iam.IPrincipal", iam.ServicePrincipal(host))


def own_distributions() -> dict[str, dict[str, str]]:
    """The condition that CloudFront asks in the name of a distribution of this account.

    Of which one can't be said: it is made of the bucket, which would have to be made of it.
    """
    arn = f"arn:{Aws.PARTITION}:cloudfront::{Aws.ACCOUNT_ID}:distribution/*"
    return {"ArnLike": {"aws:SourceArn": arn}}


def account() -> iam.IPrincipal:
    """The account of the stack, which decides by IAM policies."""
    return cast("iam.IPrincipal", iam.AccountRootPrincipal())


def anyone() -> iam.IPrincipal:
    """Everybody; for denials only."""
    return cast("iam.IPrincipal", iam.AnyPrincipal())
