"""The built-in `_system/...` functions, which every bundle has.

They are ordinary decorated functions in the package `syncline.system_functions`, imported once a
process and without the import gate: they are ours. Only admins may call them (the stepper checks).
"""

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from syncline import system_functions
from syncline.registration.registry import FunctionDefinition, references_in
from syncline.registration.signature import read_signature

PREFIX = "_system/"


@cache
def system_definitions() -> Mapping[str, FunctionDefinition]:
    """Every system function by path, "_system/cli/tables:list"."""
    definitions: dict[str, FunctionDefinition] = {}
    package = system_functions.__name__
    for found in pkgutil.walk_packages(system_functions.__path__, f"{package}."):
        module = importlib.import_module(found.name)
        path = PREFIX + found.name.removeprefix(f"{package}.").replace(".", "/")
        for name, reference in references_in(module):
            if reference.__module__ == found.name:
                full_path = f"{path}:{name}"
                file = Path(reference.declaration.file).name
                definitions[full_path] = read_signature(reference, full_path, file)
                reference.place(full_path)
    return definitions
