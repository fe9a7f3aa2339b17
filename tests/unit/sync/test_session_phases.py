"""docs/sessions.md shows the phases that the machine has, and no others are ever entered."""

import pytest

from scripts.draw_session_phases import PAGE, drawing, page_with
from syncline.sync.phases import MOVES, Phase, is_legal


def test_the_page_shows_the_phases_as_they_are():
    page = PAGE.read_text(encoding="utf-8")
    assert page_with(page, drawing()) == page, "run python -m scripts.draw_session_phases"


def test_a_page_without_a_place_for_the_drawing_is_refused():
    with pytest.raises(ValueError, match="no single place"):
        page_with("# Sessions\n", drawing())


def test_only_the_moves_of_the_table_are_legal():
    for source in Phase:
        for target in Phase:
            expected = any((move.source, move.target) == (source, target) for move in MOVES)
            assert is_legal(source, target) is expected


def test_every_phase_can_be_reached_and_closed():
    reached = {Phase.AWAITING_CONNECT}
    for _ in Phase:
        reached |= {move.target for move in MOVES if move.source in reached}
    assert reached == set(Phase)
    assert all(is_legal(phase, Phase.CLOSED) for phase in Phase if phase is not Phase.CLOSED)
