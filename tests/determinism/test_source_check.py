"""Rules on the source: what each finds, what it leaves alone, and how a line is excused."""

import ast
from textwrap import dedent

import pytest

from syncline.errors import DeveloperError
from syncline.execution.determinism.source_check import RULES, Finding, check_source


def findings(source: str) -> list[Finding]:
    source = dedent(source)
    return check_source(ast.parse(source), source)


def rules(source: str) -> list[str]:
    return [finding.rule for finding in findings(source)]


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        ("global-statement", "def f():\n    global n\n    n = 1"),
        ("module-state", "seen = {}\ndef f():\n    seen['a'] = 1"),
        ("module-state", "seen = []\nasync def f(ctx):\n    seen.append(1)"),
        ("module-state", "seen: dict[str, int] = dict()\ndef f():\n    seen['a'] += 1"),
        ("module-state", "seen = defaultdict(int)\ndef f():\n    del seen['a']"),
        ("module-state", "seen = set()\nf = lambda: seen.add(1)"),
        ("unordered-set", "for x in {1, 2}: pass"),
        ("unordered-set", "def f(xs):\n    return [x for x in set(xs)]"),
        ("unordered-set", "def f(xs):\n    return list(set(xs))"),
        ("unordered-set", "def f(xs):\n    return {x: 1 for x in frozenset(xs)}"),
        ("unordered-set", "def f(xs):\n    return ','.join(set(xs))"),
        ("unordered-set", "def f(xs):\n    return enumerate({x for x in xs})"),
        ("address", "def f(x):\n    return id(x)"),
        ("address", "def f(x):\n    return hash(x)"),
        ("escape-attribute", "def f(x):\n    return x.__class__.__subclasses__()"),
        ("escape-attribute", "def f(x):\n    return x.__globals__"),
        ("catch-all", "def f():\n    try:\n        g()\n    except:\n        pass"),
        ("catch-all", "def f():\n    try:\n        g()\n    except BaseException:\n        pass"),
        (
            "catch-all",
            (
                "def f():\n    try:\n        g()\n"
                "    except (OSError, BaseException) as e:\n        h(e)"
            ),
        ),
        ("not-awaited", "async def f(ctx):\n    ctx.db.insert('a', {})"),
        ("not-awaited", "async def f(ctx):\n    ctx.db.query('a').collect()"),
        ("not-awaited", "async def f(ctx):\n    ctx.run_mutation('a:b')"),
        ("duplicate-function", "@query\nasync def f(ctx): ...\n@query\nasync def f(ctx): ..."),
        ("duplicate-function", "@query\nasync def f(ctx): ...\ndef f(): ..."),
    ],
)
def test_a_rule_finds_its_sin(rule, source):
    assert rules(source) == [rule]


@pytest.mark.parametrize(
    "source",
    [
        "seen = {}\nseen['a'] = 1",
        "seen = {}\ndef f():\n    seen = {}\n    seen['a'] = 1",
        "seen = {}\ndef f(seen):\n    seen['a'] = 1",
        "seen = {}\ndef f():\n    return seen['a'], seen.get('b')",
        "def f(xs):\n    return sorted(set(xs))",
        "def f(x, xs):\n    return x in set(xs), len({1, 2}), any(set(xs))",
        "def f(xs):\n    return {x for x in set(xs)}",
        "class A:\n    def __hash__(self):\n        return hash((self.a, self.b))",
        "def f(id):\n    return id(1)",
        "def f(x):\n    return x.id, x.__class__.__name__, super().__init__()",
        "def f():\n    try:\n        g()\n    except Exception:\n        pass",
        "def f():\n    try:\n        g()\n    except BaseException:\n        h()\n        raise",
        "async def f(ctx):\n    await ctx.db.insert('a', {})",
        "async def f(ctx):\n    x = ctx.db.get('a')\n    await ctx.gather(x)",
        "async def f(ctx):\n    ctx.log.info('a')",
        "def f(): ...\ndef f(): ...",
    ],
)
def test_innocent_code_is_left_alone(source):
    assert rules(source) == []


def test_actions_are_ordinary_python():
    source = """
    seen = {}

    @action
    async def f(ctx):
        global n
        seen["a"] = id(ctx)

    @internal_action(args={})
    async def g(ctx):
        for x in {1, 2}:
            print(x)

    @http.route("/hook", methods=["POST"])
    async def h(ctx, request):
        seen["b"] = 1
    """
    assert rules(source) == []


def test_a_finding_has_line_text_and_remedy():
    (finding,) = findings("x = 1\ndef f(xs):\n    return list(set(xs))\n")
    assert finding.line == 3
    assert finding.what == "the order of `set(xs)` is used"
    assert "sorted(...)" in finding.remedy


@pytest.mark.parametrize(
    "source",
    [
        "def f(x):\n    return id(x)  # syncline: allow[address] compared within the call only",
        "def f(x):\n    # syncline: allow[address] compared within the call only\n    return id(x)",
    ],
)
def test_a_line_is_excused_by_rule_and_reason(source):
    assert rules(source) == []


def test_an_excuse_is_for_its_rule_only():
    source = "def f(x):\n    return id(x)  # syncline: allow[module-state] the wrong one"
    assert rules(source) == ["address"]


@pytest.mark.parametrize(
    "comment",
    [
        "# syncline: allow[address]",
        "# syncline: allow[no-such-rule] a reason",
        "# syncline: allow",
        "# syncline: allow[suppression] a reason",
    ],
)
def test_an_excuse_without_rule_or_reason_is_itself_a_finding(comment):
    assert "suppression" in rules(f"def f(x):\n    return id(x)  {comment}")


def test_every_rule_has_a_remedy():
    assert all(remedy.endswith(".") for remedy in RULES.values())


def test_findings_fail_the_load_with_file_line_rule_and_remedy(functions):
    functions.write_raw("a.py", "def f():\n    global n\n    n = 1\n")
    with pytest.raises(DeveloperError) as caught:
        functions.bundle()
    assert caught.value.message.startswith("a.py:2: `global n` [global-statement] Keep state in")
