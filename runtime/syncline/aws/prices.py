"""What AWS charges for what a deployment uses: public prices of us-east-1, without free tiers.

Prices change: each says where it was read and when. `docs/cost.md` shows this table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

REGION: Final = "us-east-1"


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for `per` units of one thing on the bill.

    `unit`: what is counted, in the plural. `source`: the page that says so, and when it was read.
    """

    service: str
    unit: str
    usd: float
    per: int
    source: str

    def of(self, quantity: float) -> float:
        """US dollars for so many units."""
        return quantity * self.usd / self.per


_AMNIC: Final = "amnic.com/blogs/aws-api-gateway-pricing, November 2026"
_LAMBDA: Final = "cloudchipr.com/blog/aws-lambda-pricing (2025), November 2026"
_SQS: Final = "cloudburn.io/blog/amazon-sqs-pricing (March 2026), November 2026"
_DYNAMODB: Final = "airbyte.com/data-engineering-resources/dynamodb-pricing, November 2026"
_DYNAMODB_OWN: Final = "aws.amazon.com/dynamodb/pricing, November 2026"
_AURORA: Final = "aws/agent-toolkit-for-aws, serverless-advisory-concepts.md (2026), November 2026"
_KMS: Final = "aws.amazon.com/kms/pricing, November 2026"
_CLOUDFRONT: Final = "aws.amazon.com/cloudfront/pricing, November 2026"
_CLOUDFRONT_UNITS: Final = "cur.vantage.sh/aws/amazoncloudfront, November 2026"
_CLOUDWATCH: Final = "factualminds.com, Amazon CloudWatch Pricing (June 2026), November 2026"
_S3: Final = "devnotes.tech, AWS S3 Pricing, and cloudburn.io (March 2026), November 2026"
_SECRETS: Final = "hivebook.wiki, AWS Secrets Manager, November 2026"
_UNREAD: Final = "from memory, not read again: compare with {} before you rely on it"

PRICES: Final[Mapping[str, Price]] = MappingProxyType({
    "socket messages": Price("API Gateway", "messages of up to 32 KB", 1.00, 10**6, _AMNIC),
    "connection minutes": Price("API Gateway", "connection minutes", 0.25, 10**6, _AMNIC),
    "http requests": Price("API Gateway", "HTTP requests", 1.00, 10**6, _AMNIC),
    "function calls": Price("Lambda", "requests", 0.20, 10**6, _LAMBDA),
    "gb seconds": Price("Lambda", "GB-seconds (arm64)", 13.3334, 10**6, _LAMBDA),
    "lane requests": Price("SQS", "FIFO requests of up to 64 KB", 0.50, 10**6, _SQS),
    "tick requests": Price("SQS", "standard requests", 0.40, 10**6, _SQS),
    "read units": Price("DynamoDB", "read units (4 KB, strong)", 0.125, 10**6, _DYNAMODB),
    "write units": Price("DynamoDB", "write units (1 KB)", 0.625, 10**6, _DYNAMODB),
    "table gb": Price("DynamoDB", "GB-months of tables", 0.25, 1, _DYNAMODB_OWN),
    "recovery gb": Price(
        "DynamoDB", "GB-months of point-in-time recovery", 0.20, 1,
        "finops.com.py/services/dynamodb/backups, November 2026",
    ),
    "acu hours": Price("Aurora", "ACU-hours", 0.12, 1, _AURORA),
    "database io": Price("Aurora", "I/O requests", 0.20, 10**6, _AURORA),
    "database gb": Price("Aurora", "GB-months", 0.10, 1, _AURORA),
    "database calls": Price(
        "Data API", "requests of up to 32 KB", 0.35, 10**6,
        _UNREAD.format("aws.amazon.com/rds/aurora/pricing"),
    ),
    "keys": Price("KMS", "key-months", 1.00, 1, _KMS),
    "key requests": Price("KMS", "requests", 0.03, 10**4, _KMS),
    "secrets": Price("Secrets Manager", "secret-months", 0.40, 1, _SECRETS),
    "secret reads": Price("Secrets Manager", "requests", 0.05, 10**4, _SECRETS),
    "parameter requests": Price(
        "Parameter Store", "requests for standard parameters", 0.00, 10**6,
        "docs.aws.amazon.com, Managing parameter tiers, November 2026",
    ),
    "edge requests": Price(
        "CloudFront", "HTTPS requests", 0.01, 10**4,
        "wring.co/blog/aws-cloudfront-pricing-guide, November 2026",
    ),
    "edge functions": Price("CloudFront", "function calls", 0.10, 10**6, _CLOUDFRONT_UNITS),
    "edge gb": Price("CloudFront", "GB to clients (US, Europe)", 0.085, 1, _CLOUDFRONT),
    "log gb": Price("CloudWatch", "GB of logs taken in", 0.50, 1, _CLOUDWATCH),
    "alarms": Price(
        "CloudWatch", "alarm-months", 0.10, 1,
        "c3x.dev/resources/aws/aws_cloudwatch_metric_alarm, November 2026",
    ),
    "metrics": Price(
        "CloudWatch", "custom metric-months", 0.30, 1,
        "signoz.io/guides/cloudwatch-pricing (February 2026), November 2026",
    ),
    "dashboards": Price("CloudWatch", "dashboard-months", 3.00, 1, _CLOUDWATCH),
    "traces": Price("X-Ray", "traces recorded", 5.00, 10**6, "aws.amazon.com/xray/pricing, 2026"),
    "bucket gb": Price("S3", "GB-months", 0.023, 1, _S3),
    "bucket reads": Price("S3", "GET requests", 0.0004, 10**3, _S3),
})  # fmt: skip
"""By the name of what is counted (a meter), in the order of `syncline cost`."""
