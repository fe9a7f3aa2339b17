"""Environment variables' values in memory (environment_ports.py): for tests."""

from collections.abc import Collection, Mapping

from syncline.environment_ports import Version


class MemoryEnvironment:
    """Values by version."""

    def __init__(self) -> None:
        self.values: dict[Version, str] = {}

    async def put(self, values: Mapping[Version, str]) -> None:
        """Keep values."""
        self.values.update(values)

    async def get(self, versions: Collection[Version]) -> Mapping[Version, str]:
        """Those of the values that are kept."""
        return {each: self.values[each] for each in versions if each in self.values}

    async def kept(self) -> Collection[Version]:
        """Every version that is kept."""
        return tuple(self.values)

    async def delete(self, versions: Collection[Version]) -> None:
        """Forget values; some may be gone already."""
        for each in versions:
            self.values.pop(each, None)
