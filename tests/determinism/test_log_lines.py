"""print and the log of a call (convex-protocol 6.1)."""

from syncline.limits import LOG_LINE_BYTES_MAX, LOG_LINES_MAX
from tests.function_folder import a_state, step


def printed(functions, *statements: str) -> list[str]:
    body = "".join(f"    {statement}\n" for statement in statements)
    bundle = functions.write(a=f"@query\nasync def say(ctx):\n{body}").bundle()
    state = a_state()
    step(bundle, "a:say", state)
    return state.log_lines


def test_print_becomes_a_log_line_in_the_clients_format(functions):
    (line,) = printed(functions, "print('hi', 1, 2.5, None, True, {'a': [1, 'x']})")
    assert line == "[LOG] 'hi' 1 2.5 null true { a: [ 1, 'x' ] }"


def test_print_to_standard_error_is_a_log_line_too(functions):
    assert printed(functions, "import sys", "print('x', file=sys.stderr)") == ["[LOG] 'x'"]


def test_a_separator_joins_plain_text(functions):
    assert printed(functions, "print('a', 1, sep='-')") == ["[LOG] a-1"]


def test_print_to_a_file_of_ones_own_is_real(functions):
    lines = printed(
        functions, "import io", "f = io.StringIO()", "print('x', file=f)", "print(f.getvalue())"
    )
    assert lines == ["[LOG] 'x\\n'"]


def test_an_empty_print_is_an_empty_line(functions):
    assert printed(functions, "print()") == ["[LOG] "]


def test_too_many_lines_end_with_one_that_says_so(functions):
    lines = printed(functions, "for i in range(1000): print(i)")
    assert len(lines) == LOG_LINES_MAX
    assert lines[-2] == f"[LOG] {LOG_LINES_MAX - 2}"
    assert lines[-1].startswith("[ERROR] Log overflow (maximum 256)")


def test_a_long_line_is_cut_at_a_character_and_says_so(functions):
    (line,) = printed(functions, "print('ü' * 40_000)")
    assert len(line.encode()) <= LOG_LINE_BYTES_MAX
    assert line.endswith("ü (truncated due to length)")


def test_a_line_that_just_fits_is_whole(functions):
    length = LOG_LINE_BYTES_MAX - len("[LOG] ''")
    (line,) = printed(functions, f"print('x' * {length})")
    assert len(line) == LOG_LINE_BYTES_MAX
    assert line.endswith("x'")


def test_printing_while_loading_reaches_no_call(functions):
    assert printed(functions, "pass") == []
    functions.write(a="print('loading')\n@query\nasync def say(ctx): ...\n")
    state = a_state()
    step(functions.bundle(), "a:say", state)
    assert state.log_lines == []
