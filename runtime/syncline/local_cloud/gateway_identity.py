"""Ids, hosts and times as API Gateway writes them."""

import base64
import secrets
from datetime import UTC, datetime


def new_id(size: int = 11) -> str:
    """An id as API Gateway's of connections, messages and requests: base64 that ends in `=`."""
    return base64.urlsafe_b64encode(secrets.token_bytes(size)).decode()


def host(api_id: str, region: str) -> str:
    """The API's own host name, which CloudFront asks."""
    return f"{api_id}.execute-api.{region}.amazonaws.com"


def milliseconds(at: float) -> int:
    """Seconds since the epoch as API Gateway writes them."""
    return int(at * 1000)


def request_time(at: float) -> str:
    """Likewise, for people."""
    return datetime.fromtimestamp(at, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")
