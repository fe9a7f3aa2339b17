"""Environment variables' values in SSM Parameter Store (environment_ports.py).

A version is one to three parameters of the standard tier, `<path>/<NAME>/<version>/<part>`, each a
SecureString under the deployment's key. Their text is the number of parts and then base64: the
standard tier, which costs nothing, takes 4 KB of a parameter, and neither tier takes an empty
value or one with "{{" in it (SSM API reference, PutParameter).
"""

import asyncio
import base64
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from syncline.environment_ports import Version
from syncline.errors import DeveloperError, UnavailableError
from syncline.limits import VARIABLE_VALUE_BYTES_MAX

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

PART_CHARACTERS: Final = 4096
"""Of a parameter of the standard tier (SSM, "Parameter tiers")."""
PARTS_MAX: Final = -(-(1 + (VARIABLE_VALUE_BYTES_MAX + 2) // 3 * 4) // PART_CHARACTERS)
"""Of the largest value; a digit."""

_AT_ONCE: Final = 10
"""Parameters of one GetParameters or DeleteParameters: the API's limit."""

_TOO_MUCH: Final = frozenset(("ThrottlingException", "TooManyUpdates"))
"""What passes, though SSM answers it by 400."""


def path_of(deployment: str) -> str:
    """Below which the parameters of a deployment lie; policies speak of it, too."""
    return f"/syncline/{deployment}/environment"


class ParameterStore:
    """Values by version. `key`: the KMS key that encrypts them, by id, ARN or alias."""

    def __init__(self, client: "SSMClient", *, path: str, key: str) -> None:
        self._client = client
        self._path = path
        self._key = key

    async def put(self, values: Mapping[Version, str]) -> None:
        """Keep values, durably."""
        for version, value in values.items():
            await asyncio.to_thread(self._put, version, value)

    def _put(self, version: Version, value: str) -> None:
        encoded = base64.b64encode(value.encode()).decode()
        count = -(-(1 + len(encoded)) // PART_CHARACTERS)
        text = f"{count}{encoded}"
        for part in range(count):
            with _refusals():
                self._client.put_parameter(
                    Name=self._name(version, part),
                    Value=text[part * PART_CHARACTERS : (part + 1) * PART_CHARACTERS],
                    Type="SecureString",
                    KeyId=self._key,
                    Tier="Standard",
                    # Nobody else has this name, but it may be the second try of a lost call.
                    Overwrite=True,
                )

    async def get(self, versions: Collection[Version]) -> Mapping[Version, str]:
        """Those of the values that are kept."""
        return await asyncio.to_thread(self._get, versions)

    def _get(self, versions: Collection[Version]) -> Mapping[Version, str]:
        found = self._texts((version, 0) for version in versions)
        found |= self._texts(
            (version, part)
            for (version, _), text in tuple(found.items())
            for part in range(1, int(text[0]))
        )
        values: dict[Version, str] = {}
        for version in versions:
            count = int(found.get((version, 0), "0")[0])
            parts = [found.get((version, part)) for part in range(count)]
            # One that is being deleted has lost its first part, or will.
            whole = [part for part in parts if part is not None]
            if count and len(whole) == count:
                values[version] = base64.b64decode("".join(whole)[1:]).decode()
        return values

    def _texts(self, wanted: Iterable[tuple[Version, int]]) -> dict[tuple[Version, int], str]:
        names = {self._name(version, part): (version, part) for version, part in wanted}
        found: dict[tuple[Version, int], str] = {}
        for batch in _batches(list(names)):
            with _refusals():
                reply = self._client.get_parameters(Names=batch, WithDecryption=True)
            for each in reply["Parameters"]:
                assert "Name" in each
                assert "Value" in each
                found[names[each["Name"]]] = each["Value"]
        return found

    async def kept(self) -> Collection[Version]:
        """Every version of which anything is kept."""
        return await asyncio.to_thread(self._kept)

    def _kept(self) -> Collection[Version]:
        pages = self._client.get_paginator("get_parameters_by_path").paginate(
            Path=self._path, Recursive=True, WithDecryption=False
        )
        found: set[Version] = set()
        with _refusals():
            for page in pages:
                for each in page["Parameters"]:
                    assert "Name" in each
                    name, number, _ = each["Name"].removeprefix(f"{self._path}/").split("/")
                    found.add(Version(name, number))
        return found

    async def delete(self, versions: Collection[Version]) -> None:
        """Forget values; some may be gone already."""
        await asyncio.to_thread(self._delete, versions)

    def _delete(self, versions: Collection[Version]) -> None:
        names = [self._name(each, part) for each in versions for part in range(PARTS_MAX)]
        for batch in _batches(names):
            with _refusals():
                self._client.delete_parameters(Names=batch)

    def _name(self, version: Version, part: int) -> str:
        return f"{self._path}/{version.name}/{version.number}/{part}"


def _batches(names: Sequence[str]) -> list[Sequence[str]]:
    return [names[start : start + _AT_ONCE] for start in range(0, len(names), _AT_ONCE)]


@contextmanager
def _refusals() -> Generator[None]:
    """SSM's errors as ours; they name the operation and the reason, and no value.

    Raises:
        DeveloperError: the role may not do this, or not use the key.
        UnavailableError: not now; the SDK has tried again already.
    """
    try:
        yield
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = error.response.get("Error", {}).get("Code", "")
        if 400 <= status < 500 and code not in _TOO_MUCH:
            raise DeveloperError(
                "EnvironmentForbidden", f"Parameter Store refuses environment variables: {error}"
            ) from error
        raise _unavailable(error) from error
    except BotoCoreError as error:
        raise _unavailable(error) from error


def _unavailable(error: Exception) -> UnavailableError:
    return UnavailableError(
        "EnvironmentUnavailable", f"Parameter Store can't be reached or is too busy: {error}"
    )
