"""Stands for any installed package: not part of a functions folder, and it opens a file."""


def read() -> str:
    with open(__file__) as file:  # noqa: PTH123 - the plainest way
        return file.read()
