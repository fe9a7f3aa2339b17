"""The official PyPI client: the embedded server's tests as they are, on the stacks, in disorder.

Left out is what no message of API Gateway can hold for a client that knows no chunks
(docs/clients.md), and what starts an embedded server itself.
"""

import pytest

from tests.clients.test_pypi_client import *  # noqa: F403 - the tests themselves are what is wanted

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

del test_result_above_five_megabytes_arrives_without_chunks  # noqa: F821 - imported above
