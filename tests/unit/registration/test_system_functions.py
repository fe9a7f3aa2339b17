"""The built-in functions are found by themselves and are part of every bundle."""

import pkgutil

from syncline import system_functions
from syncline.registration.system_functions import PREFIX, system_definitions


def test_every_module_of_the_package_is_looked_into():
    package = system_functions.__name__
    names = {
        PREFIX + found.name.removeprefix(f"{package}.").replace(".", "/")
        for found in pkgutil.walk_packages(system_functions.__path__, f"{package}.")
    }
    assert {definition.module for definition in system_definitions().values()} <= names


def test_they_are_in_every_bundle_but_not_in_its_spec(functions):
    bundle = functions.bundle()
    for path, definition in system_definitions().items():
        assert path.startswith(PREFIX)
        assert bundle.definitions[path] is definition
    assert not bundle.spec.functions
    assert not bundle.modules
