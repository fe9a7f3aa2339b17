"""The deployment's environment variables, for code that runs outside of transactions."""

from syncline.drivers.replica import Replica
from syncline.execution.context import ALL_VARIABLES
from syncline.ports import RangeRead
from syncline.values import wire_json

_PAGE: int = 1024


async def environment(replica: Replica, ts: int) -> dict[str, str]:
    """Every variable at `ts`."""
    variables: dict[str, str] = {}
    reads, lo = replica.reads(ts), ALL_VARIABLES.lo
    while True:
        [page] = await reads.read([RangeRead(lo, ALL_VARIABLES.hi, _PAGE)])
        for row in page.rows:
            variable = wire_json.decode(row.document)
            assert isinstance(variable, dict)
            variables[str(variable["name"])] = str(variable["value"])
        if page.done:
            return variables
        lo = page.rows[-1].key + b"\0"
