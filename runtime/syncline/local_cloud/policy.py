"""Least privilege, judged: recorded AWS calls against the policies of the roles that made them.

moto can't judge (it checks most services against `*` and ignores conditions), so IAM's rules are
here, as far as our templates use them (IAM User Guide, "Policy evaluation logic"): an explicit Deny
wins, then any Allow, else denied. What is not understood is refused, never passed over.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

import msgspec

from syncline.errors import DeveloperError
from syncline.local_cloud.iam_actions import Call, Need, Place, needs_of

OneOrMore: TypeAlias = str | bool | list[str]
"""IAM lets a list of one be written without the list."""

CONTEXT_KEYS: Final = frozenset(
    ("aws:requestedregion", "aws:securetransport", "kms:viaservice", "s3:prefix")
)
"""Condition keys that needs carry, in lower case: IAM does not tell cases apart in them."""


class Statement(
    msgspec.Struct, frozen=True, kw_only=True, rename="pascal", forbid_unknown_fields=True
):
    """One statement of a role's policy (IAM, "JSON policy elements")."""

    effect: Literal["Allow", "Deny"]
    sid: str = ""
    action: str | list[str] | None = None
    not_action: str | list[str] | None = None
    resource: str | list[str] | None = None
    not_resource: str | list[str] | None = None
    condition: dict[str, dict[str, OneOrMore]] = {}

    def __post_init__(self) -> None:
        if (self.action is None) == (self.not_action is None):
            raise ValueError(f"statement {self.sid!r}: one of Action and NotAction")
        if (self.resource is None) == (self.not_resource is None):
            raise ValueError(f"statement {self.sid!r}: one of Resource and NotResource")
        for operator, key, wanted in self.conditions():
            _check_condition(self.sid, operator, key)
            _check_variables(self.sid, wanted)
        _check_variables(self.sid, self.resources())

    def actions(self) -> list[str]:
        """What it is about, as written: patterns of actions, or of those that it is not about."""
        return _listed(self.action if self.action is not None else self.not_action)

    def resources(self) -> list[str]:
        """The same of resources."""
        return _listed(self.resource if self.resource is not None else self.not_resource)

    def conditions(self) -> Iterator[tuple[str, str, list[str]]]:
        """Operator, key and wanted values of each condition; all of them must hold."""
        for operator, keys in self.condition.items():
            for key, wanted in keys.items():
                yield operator, key, _listed(wanted)

    def applies_to(self, need: Need) -> bool:
        """Whether it has a say about this need."""
        return (
            any(_covers_action(p, need) for p in self.actions()) == (self.action is not None)
            and any(_covers(p, need.resource) for p in self.resources())
            == (self.resource is not None)
            and self._is_met_by(need)
        )

    def _is_met_by(self, need: Need) -> bool:
        context = {key.lower(): values for key, values in need.context.items()}
        return all(
            _condition_holds(operator, wanted, context.get(key.lower(), ()))
            for operator, key, wanted in self.conditions()
        )


class Policy(msgspec.Struct, frozen=True, rename="pascal", forbid_unknown_fields=True):
    """A policy document whose references are resolved."""

    statement: list[Statement] | Statement
    version: Literal["2012-10-17"] = "2012-10-17"

    def statements(self) -> Sequence[Statement]:
        """Its statements; a single one may stand without a list."""
        return self.statement if isinstance(self.statement, list) else [self.statement]


@dataclass(frozen=True, slots=True, order=True)
class Permission:
    """What an Allow grants: one action on one resource, both as the statement writes them."""

    role: str
    sid: str
    action: str
    resource: str


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """An unused permission that stays, and why; `resource` may have wildcards.

    Raises:
        ValueError: no reason is given, or the action has a wildcard.
    """

    role: str
    sid: str
    action: str
    reason: str
    resource: str = "*"
    by_chance: bool = False
    """Runs use it or not, as their timing wants: it is stale only if nobody has it."""

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise ValueError(f"{self.role} {self.sid} {self.action}: why is it needed?")
        if "*" in self.action or "?" in self.action:
            raise ValueError(f"{self.role} {self.sid} {self.action}: one action at a time")

    def covers(self, permission: Permission) -> bool:
        """Whether this permission is meant."""
        return (self.role, self.sid, self.action) == (
            permission.role,
            permission.sid,
            permission.action,
        ) and _covers(self.resource, permission.resource)


@dataclass(frozen=True, slots=True)
class Denied:
    """A call that AWS would have refused."""

    call: Call
    need: Need


@dataclass(frozen=True, slots=True)
class Findings:
    """What is wrong; nothing if all three are empty."""

    denied: tuple[Denied, ...]
    unused: tuple[Permission, ...]
    stale: tuple[Acknowledgement, ...]
    """Acknowledgements of permissions that were used, or that nobody has."""

    def lines(self) -> list[str]:
        """One sentence for each."""
        return [
            *(
                f"{d.call.role}: {d.call.function} called {d.call.service}:{d.call.operation}, but "
                f"{d.need.action} on {d.need.resource} is not allowed"
                for d in self.denied
            ),
            *(
                f"{p.role}: {p.sid} allows {p.action} on {p.resource}, which nothing used"
                for p in self.unused
            ),
            *(
                f"{a.role}: {a.sid} {a.action} on {a.resource} is acknowledged for nothing"
                for a in self.stale
            ),
        ]


def parse_policy(document: Mapping[str, object]) -> Policy:
    """A policy document as JSON has it.

    Raises:
        DeveloperError: BadPolicy: an element, condition operator or condition key is not known
            here, an element is missing, or a reference is not resolved.
    """
    try:
        return msgspec.convert(document, Policy)
    except msgspec.ValidationError as error:
        raise DeveloperError("BadPolicy", f"The policy can't be judged: {error}") from error


def is_allowed(policies: Iterable[Policy], need: Need) -> bool:
    """Whether a role with these policies has what a call needs."""
    effects = {
        statement.effect
        for policy in policies
        for statement in policy.statements()
        if statement.applies_to(need)
    }
    return effects == {"Allow"}


def judge(
    calls: Iterable[Call],
    policies: Mapping[str, Sequence[Mapping[str, object]]],
    acknowledged: Sequence[Acknowledgement],
    *,
    place: Place,
) -> Findings:
    """Compare calls with the policy documents of every role, by its name as calls give it.

    Raises:
        DeveloperError: BadPolicy, UnknownOperation, UnnamedResource; UnknownRole: a call was made
            by a role that has no policies here.
    """
    parsed = {role: [parse_policy(given) for given in known] for role, known in policies.items()}
    denied: dict[tuple[str, str, str], Denied] = {}
    used: set[Permission] = set()
    for call, need in _distinct_needs(calls, place):
        if call.role not in parsed:
            raise DeveloperError(
                "UnknownRole",
                f"{call.function} made calls as {call.role!r}; known roles: {sorted(parsed)}.",
            )
        if is_allowed(parsed[call.role], need):
            used.update(_granted(call.role, parsed[call.role], need))
        else:
            denied.setdefault((call.role, need.action, need.resource), Denied(call, need))
    granted = {p for role, known in parsed.items() for p in _permissions(role, known)}
    unused = granted - used
    return Findings(
        tuple(denied.values()),
        tuple(sorted(p for p in unused if not any(a.covers(p) for a in acknowledged))),
        tuple(
            a
            for a in acknowledged
            if not any(a.covers(p) for p in (granted if a.by_chance else unused))
        ),
    )


def _distinct_needs(calls: Iterable[Call], place: Place) -> Iterator[tuple[Call, Need]]:
    """Long runs make the same call again and again; each need is judged once."""
    seen: set[tuple[object, ...]] = set()
    for call in calls:
        for need in needs_of(call, place):
            key = (call.role, need.action, need.resource, *sorted(need.context.items()))
            if key not in seen:
                seen.add(key)
                yield call, need


# Permissions


def _permissions(role: str, policies: Iterable[Policy]) -> set[Permission]:
    return {
        permission
        for policy in policies
        for statement in policy.statements()
        if statement.effect == "Allow"
        for permission in _permissions_of(role, statement)
    }


def _permissions_of(role: str, statement: Statement) -> Iterator[Permission]:
    """Exceptions from everything are one permission: what they grant can't be listed."""
    actions, resources = statement.actions(), statement.resources()
    if statement.not_action is not None:
        actions = [f"all but {', '.join(actions)}"]
    if statement.not_resource is not None:
        resources = [f"all but {', '.join(resources)}"]
    for action in actions:
        for resource in resources:
            yield Permission(role, statement.sid, action, resource)


def _granted(role: str, policies: Iterable[Policy], need: Need) -> Iterator[Permission]:
    for policy in policies:
        for statement in policy.statements():
            if statement.effect == "Allow" and statement.applies_to(need):
                for permission in _permissions_of(role, statement):
                    has_action = statement.action is None or _covers_action(permission.action, need)
                    if has_action and (
                        statement.resource is None or _covers(permission.resource, need.resource)
                    ):
                        yield permission


# Patterns


@cache
def _pattern(wildcards: str) -> re.Pattern[str]:
    parts = (
        ".*" if character == "*" else "." if character == "?" else re.escape(character)
        for character in wildcards
    )
    return re.compile("".join(parts), re.DOTALL)


def _covers(wildcards: str, text: str) -> bool:
    return _pattern(wildcards).fullmatch(text) is not None


def _covers_action(wildcards: str, need: Need) -> bool:
    """IAM does not tell cases apart in actions."""
    return _covers(wildcards.lower(), need.action.lower())


def _covers_arn(wildcards: str, text: str) -> bool:
    """Each of the six parts by itself: a wildcard does not reach across a colon."""
    patterns, parts = wildcards.split(":", 5), text.split(":", 5)
    return len(patterns) == len(parts) and all(map(_covers, patterns, parts))


def _listed(value: OneOrMore | None) -> list[str]:
    if value is None:
        return []
    if isinstance(value, bool):
        return [str(value).lower()]
    return value if isinstance(value, list) else [value]


# Conditions

_SEVERAL: Final = "ForAllValues:"

_OPERATORS: Final[Mapping[str, Callable[[str, str], bool]]] = MappingProxyType({
    "StringEquals": lambda wanted, given: wanted == given,
    "StringLike": _covers,
    "ArnLike": _covers_arn,
    "Bool": lambda wanted, given: wanted.lower() == given.lower(),
})  # fmt: skip


def _check_condition(sid: str, operator: str, key: str) -> None:
    several = f"{_SEVERAL}StringLike"
    if operator not in _OPERATORS and operator != several:
        known = ", ".join((*_OPERATORS, several))
        raise ValueError(f"statement {sid!r}: condition operator {operator!r} is none of: {known}")
    if key.lower() not in CONTEXT_KEYS:
        known = ", ".join(sorted(CONTEXT_KEYS))
        raise ValueError(f"statement {sid!r}: condition key {key!r} is none of: {known}")


def _check_variables(sid: str, texts: Sequence[str]) -> None:
    if variables := [text for text in texts if "${" in text]:
        raise ValueError(f"statement {sid!r}: policy variables are not known here: {variables}")


def _condition_holds(operator: str, wanted: Sequence[str], given: Sequence[str]) -> bool:
    """Any of the wanted values will do; with ForAllValues, for every given one, even for none."""
    compare = _OPERATORS[operator.removeprefix(_SEVERAL)]
    holds = [any(compare(text, value) for text in wanted) for value in given]
    return all(holds) if operator.startswith(_SEVERAL) else any(holds)
