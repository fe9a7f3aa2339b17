"""The diagram and the table in docs/sessions.md, drawn from sync/phases.py.

`python -m scripts.draw_session_phases` writes them into the page; a test compares the two.
"""

import re
from pathlib import Path

from syncline.sync.phases import HANDLING, MOVES, Phase

PAGE = Path(__file__).resolve().parent.parent / "docs" / "sessions.md"

_GENERATED = re.compile(
    r"(?<=<!-- drawn by scripts/draw_session_phases\.py -->\n).*?(?=<!-- end -->)", re.DOTALL
)


def drawing() -> str:
    """A Mermaid state diagram of the moves, and the table of messages by phase, as Markdown."""
    return f"```mermaid\n{_diagram()}```\n\n{_table()}"


def _diagram() -> str:
    lines = ["stateDiagram-v2", f"    [*] --> {_name(Phase.AWAITING_CONNECT)}"]
    lines += [f"    {_name(move.source)} --> {_name(move.target)}: {move.cause}" for move in MOVES]
    lines.append(f"    {_name(Phase.CLOSED)} --> [*]")
    return "\n".join(lines) + "\n"


def _name(phase: Phase) -> str:
    return phase.value.replace(" ", "_")


def _table() -> str:
    kinds = list(HANDLING[Phase.CONNECTED])
    rows = [["phase", *kinds], ["---"] * (len(kinds) + 1)]
    rows += [[phase.value, *(HANDLING[phase][kind].value for kind in kinds)] for phase in HANDLING]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def page_with(page: str, drawn: str) -> str:
    """The page with the drawn part replaced.

    Raises:
        ValueError: if the page has no place for it.
    """
    replaced, count = _GENERATED.subn(lambda _: drawn, page)
    if count != 1:
        raise ValueError("docs/sessions.md has no single place for the drawing: restore its marks")
    return replaced


if __name__ == "__main__":
    PAGE.write_text(page_with(PAGE.read_text(encoding="utf-8"), drawing()), encoding="utf-8")
