"""Rules on the source of user modules that running them once can't check.

Each finding names the rule, the line and the remedy. A line is excused by a comment on it, or on
the line above, that names the rule and gives a reason:

    _cache = {}                # syncline: allow[module-state] filled once while loading
    # syncline: allow[unordered-set] the loop only counts
    for word in set(words): ...

Functions decorated with `@action`, `@internal_action` or `@http_action` are ordinary Python and are
not looked into. Everything else may be run by a query or mutation.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

RULES: Final[dict[str, str]] = {
    "global-statement": "Keep state in documents: every process has its own copy of the module.",
    "module-state": "Keep state in documents: every process has its own copy of the module, and a "
    "call that is run again would change it twice.",
    "unordered-set": "The order of a set may differ between processes: use sorted(...).",
    "address": "It may differ between processes: compare values, or use hashlib for a digest.",
    "escape-attribute": "It leads around what keeps functions repeatable: use the public names.",
    "catch-all": "It swallows the time limit: catch `Exception`, or re-raise with a bare `raise`.",
    "not-awaited": "Nothing happens without it: write `await` in front.",
    "duplicate-function": "The first one is lost: give one of them another name.",
    "suppression": "Name a rule and give a reason: `# syncline: allow[rule] reason`.",
}
"""Rule id to remedy."""

_ESCAPES: Final = frozenset(
    "__builtins__ __globals__ __code__ __closure__ __subclasses__ __bases__ __base__ __mro__ "
    "__getattribute__ __loader__ __spec__ __import__ f_globals f_builtins f_back gi_frame "
    "cr_frame tb_frame".split()
)
_MUTABLE_CALLS: Final = frozenset(
    "dict list set bytearray defaultdict deque Counter OrderedDict".split()
)
_MUTATORS: Final = frozenset(
    "append extend insert remove pop clear sort reverse add discard update setdefault popitem "
    "appendleft popleft extendleft rotate intersection_update difference_update subtract "
    "symmetric_difference_update move_to_end __setitem__ __delitem__".split()
)
_SEQUENCING: Final = frozenset("list tuple enumerate iter next zip map filter".split())
_ACTION_DECORATORS: Final = frozenset({"action", "internal_action", "http_action", "route"})
_ASYNC_METHODS: Final = frozenset(
    "get insert patch replace delete collect take first unique paginate run_query run_mutation "
    "run_action run_after run_at cancel get_user_identity get_url get_metadata generate_upload_url "
    "store gather vector_search".split()
)
_SUPPRESSION: Final = re.compile(r"#\s*syncline:\s*allow\b(?:\[([\w-]*)\])?[ \t]*(.*)")

_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken rule."""

    rule: str
    line: int
    what: str

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return RULES[self.rule]


def check_source(tree: ast.Module, source: str) -> list[Finding]:
    """Every finding of a module that is not excused, in line order."""
    found = [*_duplicates(tree), *_Checker(_mutable_names(tree)).check(tree)]
    excused, malformed = _suppressions(source)
    kept = [
        finding
        for finding in found
        if not {(finding.rule, finding.line), (finding.rule, finding.line - 1)} & excused
    ]
    return sorted([*kept, *malformed], key=lambda finding: finding.line)


def _suppressions(source: str) -> tuple[set[tuple[str, int]], list[Finding]]:
    excused: set[tuple[str, int]] = set()
    malformed: list[Finding] = []
    for number, line in enumerate(source.splitlines(), 1):
        match = _SUPPRESSION.search(line)
        if match is None:
            continue
        rule, reason = match[1] or "", match[2].strip()
        if rule not in RULES or rule == "suppression":
            known = ", ".join(sorted(RULES.keys() - {"suppression"}))
            malformed.append(Finding("suppression", number, f"`{rule}` is no rule ({known})"))
        elif not reason:
            malformed.append(
                Finding("suppression", number, f"`{rule}` is allowed without a reason")
            )
        else:
            excused.add((rule, number))
    return excused, malformed


def _duplicates(tree: ast.Module) -> Iterator[Finding]:
    """Functions of one name at the top of a module, one of them registered."""
    seen: dict[str, ast.AST] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            earlier = seen.get(node.name)
            if isinstance(earlier, ast.FunctionDef | ast.AsyncFunctionDef) and (
                node.decorator_list or earlier.decorator_list
            ):
                what = f"`{node.name}` is already defined in line {earlier.lineno}"
                yield Finding("duplicate-function", node.lineno, what)
            seen[node.name] = node


def _mutable_names(tree: ast.Module) -> set[str]:
    """Names that the module's top level binds to a fresh mutable container."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            targets, value = [node.target], node.value
        else:
            continue
        if _is_mutable(value):
            names.update(target.id for target in targets if isinstance(target, ast.Name))
    return names


def _is_mutable(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):
        return _last_name(value.func) in _MUTABLE_CALLS
    return isinstance(
        value, ast.Dict | ast.List | ast.Set | ast.DictComp | ast.ListComp | ast.SetComp
    )


class _Checker(ast.NodeVisitor):
    """Walks a module; keeps which function it is in and what that function binds itself."""

    def __init__(self, mutable_names: set[str]) -> None:
        self._mutable_names = mutable_names
        self._local_names: list[set[str]] = []
        self._function_names: list[str] = []
        self._found: list[Finding] = []

    def check(self, tree: ast.Module) -> list[Finding]:
        self.visit(tree)
        return self._found

    def _report(self, rule: str, node: ast.AST, what: str) -> None:
        line: int = getattr(node, "lineno", 1)
        self._found.append(Finding(rule, line, what))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._visit_function(node, node.name, node.decorator_list)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._visit_function(node, node.name, node.decorator_list)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._visit_function(node, "<lambda>", [])

    def _visit_function(self, node: _Function, name: str, decorators: list[ast.expr]) -> None:
        if any(_last_name(decorator) in _ACTION_DECORATORS for decorator in decorators):
            return
        self._local_names.append(_bound_names(node))
        self._function_names.append(name)
        self.generic_visit(node)
        self._function_names.pop()
        self._local_names.pop()

    def visit_Global(self, node: ast.Global) -> None:
        self._report("global-statement", node, f"`global {', '.join(node.names)}`")

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            self._check_stored(target)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._check_stored(node.target)
        self.generic_visit(node)

    def visit_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            self._check_stored(target)
        self.generic_visit(node)

    def _check_stored(self, target: ast.expr) -> None:
        if isinstance(target, ast.Subscript) and self._is_module_state(target.value):
            self._report("module-state", target, f"`{ast.unparse(target)}` is changed")

    def _is_module_state(self, node: ast.expr) -> bool:
        return (
            bool(self._local_names)
            and isinstance(node, ast.Name)
            and node.id in self._mutable_names
            and not any(node.id in names for names in self._local_names)
        )

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr in _ESCAPES:
            self._report("escape-attribute", node, f"`.{node.attr}`")
        self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        self._check_iterated(node.iter)
        self.generic_visit(node)

    def visit_ListComp(self, node: ast.ListComp) -> None:
        self._check_iterated(node.generators[0].iter)
        self.generic_visit(node)

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._check_iterated(node.generators[0].iter)
        self.generic_visit(node)

    def _check_iterated(self, node: ast.expr) -> None:
        if _is_set(node):
            self._report("unordered-set", node, f"the order of `{ast.unparse(node)}` is used")

    def visit_Call(self, node: ast.Call) -> None:
        function = node.func
        if isinstance(function, ast.Name):
            if function.id in _SEQUENCING:
                for argument in node.args:
                    self._check_iterated(argument)
            in_hash = bool(self._function_names) and self._function_names[-1] == "__hash__"
            is_address = function.id == "id" or (function.id == "hash" and not in_hash)
            is_hidden = any(function.id in names for names in self._local_names)
            if is_address and self._local_names and not is_hidden:
                self._report("address", node, f"`{ast.unparse(node)}`")
        elif isinstance(function, ast.Attribute):
            if function.attr == "join" and node.args:
                self._check_iterated(node.args[0])
            if function.attr in _MUTATORS and self._is_module_state(function.value):
                self._report("module-state", node, f"`{ast.unparse(function)}(...)` changes it")
        self.generic_visit(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        names = {None if each is None else _last_name(each) for each in caught}
        if (None in names or "BaseException" in names) and not _reraises(node):
            what = "`except:`" if node.type is None else f"`except {ast.unparse(node.type)}`"
            self._report("catch-all", node, what)
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        call = node.value
        if (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and call.func.attr in _ASYNC_METHODS
            and _root_name(call.func) == "ctx"
        ):
            self._report("not-awaited", node, f"`{ast.unparse(call.func)}(...)`")
        self.generic_visit(node)


def _bound_names(node: _Function) -> set[str]:
    """Parameters and assigned names of a function, nested ones included: all may hide a global."""
    names = {argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg)}
    body = node.body if isinstance(node.body, list) else [node.body]
    for statement in body:
        for child in ast.walk(statement):
            if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
                names.add(child.id)
    return names


def _is_set(node: ast.expr) -> bool:
    if isinstance(node, ast.Set | ast.SetComp):
        return True
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"set", "frozenset"}
    )


def _reraises(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def _last_name(node: ast.expr) -> str | None:
    if isinstance(node, ast.Call):
        node = node.func
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def _root_name(node: ast.expr) -> str | None:
    while isinstance(node, ast.Attribute | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None
