"""What the path and the Convex-Client header tell about a client."""

import pytest

from syncline.errors import CallerError
from syncline.sync.client_kind import ClientKind, client_kind


@pytest.mark.parametrize(
    ("path", "header", "kind"),
    [
        ("1.48.0", None, ClientKind("npm", (1, 48, 0))),
        ("1.29.0-alpha.1", None, ClientKind("npm", (1, 29, 0))),
        (None, "python-0.8.1", ClientKind("python", (0, 8, 1))),
        (None, "npm-cli-1.48.0", ClientKind("npm-cli", (1, 48, 0))),
        (None, "rust-0.10.3-beta.2", ClientKind("rust", (0, 10, 3))),
        ("1.48.0", "python-0.8.1", ClientKind("npm", (1, 48, 0))),
        (None, None, ClientKind("unknown", None)),
    ],
)
def test_the_kind_is_read_from_path_and_header(path, header, kind):
    assert client_kind(path, header) == kind


@pytest.mark.parametrize(
    ("path", "header"),
    [
        ("1.48", None),
        ("latest", None),
        ("1.48.0/", None),
        ("1.48.0\n", None),
        ("", None),
        (None, "python"),
        (None, "python-new"),
        (None, "0.8.1"),
        (None, ""),
        ("9" * 5000 + ".1.1", None),
    ],
)
def test_a_version_that_cannot_be_read_is_refused(path, header):
    with pytest.raises(CallerError) as caught:
        client_kind(path, header)
    assert caught.value.code == "InvalidClientVersion"


@pytest.mark.parametrize(
    ("kind", "knows"),
    [
        (ClientKind("npm", (1, 28, 0)), True),
        (ClientKind("npm", (2, 0, 0)), True),
        (ClientKind("npm", (1, 27, 9)), False),
        (ClientKind("npm", None), False),
        (ClientKind("python", (1, 48, 0)), False),
        (ClientKind(), False),
    ],
)
def test_only_npm_since_1_28_knows_chunks(kind: ClientKind, knows: bool):
    assert kind.knows_chunks is knows


def test_pings_come_well_before_any_client_gives_up():
    assert ClientKind().ping_interval_ms == 15_000
