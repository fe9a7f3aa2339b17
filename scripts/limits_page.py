"""docs/limits.md, written from the constants in limits.py and what is said beside them.

`python -m scripts.limits_page` writes the page; a test compares the two.
"""

import ast
import re
from pathlib import Path

from syncline import limits

PROJECT = Path(__file__).resolve().parent.parent
SOURCE = PROJECT / "runtime" / "syncline" / "limits.py"
PAGE = PROJECT / "docs" / "limits.md"

_HEAD = """# Limits

Written from `runtime/syncline/limits.py` by `python -m scripts.limits_page`; edit that file.

Source: **C** the figure that the official clients' users know (the section of the protocol
reference behind it), **A** an AWS quota, **S** our own choice and its reason.
"""
_SECTION = re.compile(r"# (\w[\w ]*)$")
_DOCUMENTED = re.compile(r"(?P<what>.+?)\.? \[(?P<source>[CAS])\] ?(?P<reason>.*)", re.DOTALL)


def limits_page() -> str:
    """The page's text. ValueError for a constant without what, source and reason beside it."""
    text = SOURCE.read_text(encoding="utf-8")
    sections = {
        number: match[1]
        for number, line in enumerate(text.splitlines(), 1)
        if (match := _SECTION.match(line))
    }
    parts = [_HEAD]
    body = ast.parse(text).body
    for node, following in zip(body, [*body[1:], None], strict=True):
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
            continue
        for number in [number for number in sections if number < node.lineno]:
            title = sections.pop(number)
            parts.append(
                f"\n## {title}\n\n| limit | value | source | constant |\n|---|---|---|---|\n"
            )
        parts.append(_row(node.targets[0].id, following))
    return "".join(parts)


def _row(name: str, following: ast.stmt | None) -> str:
    beside = ""
    if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
        beside = " ".join(str(following.value.value).split())
    match = _DOCUMENTED.fullmatch(beside)
    if match is None or not match["reason"]:
        raise ValueError(f'limits.py: say below {name} """what it bounds. [C, A or S] why"""')
    value = _figure(name, getattr(limits, name))
    return f"| {match['what']} | {value} | **{match['source']}** {match['reason']} | `{name}` |\n"


def _figure(name: str, value: float) -> str:
    """A number for readers: 16 MiB, 8,192, 1 s."""
    if "BYTES" in name.split("_"):
        for unit, size in (("MiB", 2**20), ("KiB", 2**10)):
            if value >= size and value % size == 0:
                return f"{value // size:,} {unit}"
        return f"{value:,} bytes"
    if "SECONDS" in name.split("_"):
        return f"{value:g} s"
    return f"{value:,}"


if __name__ == "__main__":
    PAGE.write_text(limits_page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(PROJECT)}")
