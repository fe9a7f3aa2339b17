"""docs/limits.md says what limits.py says."""

from scripts.limits_page import PAGE, limits_page
from syncline import limits


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == limits_page(), (
        "limits.py has changed: run python -m scripts.limits_page"
    )


def test_every_limit_is_on_the_page():
    page = PAGE.read_text(encoding="utf-8")
    names = [name for name in vars(limits) if name.isupper()]
    assert len(names) > 30
    assert [name for name in names if f"`{name}`" not in page] == []
