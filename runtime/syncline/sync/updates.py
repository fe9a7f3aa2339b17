"""Updates: from what changed to the Transition that shows it (convex-protocol.md 1.5).

A plan is a snapshot of the query set and the identity; its Transition ends at exactly these
versions, whatever the client asked for meanwhile, and at the one ts that its results are valid at.
"""

from collections.abc import Mapping

from syncline.sync import frames
from syncline.sync.chunks import split_transition
from syncline.sync.effects import Send, UpdatePlan
from syncline.sync.query_set import Query
from syncline.sync.results import QueryResult
from syncline.sync.state import SessionLimits, SessionState

_TRANSITION_BYTES = 512
"""More than a Transition without modifications takes."""


def make_plan(state: SessionState, *, awaits_admin: bool = False) -> UpdatePlan:
    """Take everything that changed into a plan; what waits for an admin stays behind."""
    to_run, refused = state.query_set.take_stale(awaits_admin=awaits_admin)
    state.plans += 1
    plan = UpdatePlan(
        number=state.plans,
        query_set=state.query_set.version,
        identity_version=state.identity_version,
        identity=state.identity.attributes,
        is_admin=state.identity.is_admin,
        queries=to_run,
        refused=refused,
        removed=state.query_set.take_removed(),
        minimum_ts=max(state.sent_ts, state.answered_ts, state.max_observed_ts),
        owes_transition=state.owes_transition,
    )
    state.computing = plan
    state.update_wanted = False
    state.owes_transition = False
    return plan


def complete_plan(
    state: SessionState,
    limits: SessionLimits,
    plan: UpdatePlan,
    ts: int,
    results: Mapping[int, QueryResult],
) -> Send | None:
    """The Transition for a plan whose results are valid at `ts`; None if there is nothing to say.

    Results may hold more queries than were planned. A planned query without a result stays stale
    and is answered by a later update; only a query that was never answered may be left out.
    """
    modifications = [frames.query_removed(query_id) for query_id in plan.removed]
    for query_id in plan.refused:
        query = state.query_set.at(plan.query_set, query_id)
        if query is not None:
            result = component_failure(query.component or "", is_admin=plan.is_admin)
            _add_result(modifications, query_id, query, result)
    for query_id, result in results.items():
        query = state.query_set.at(plan.query_set, query_id)
        if query is not None:
            shown = _deliverable(result, state, limits)
            _add_result(modifications, query_id, query, shown)
    for spec in plan.queries:
        if spec.query_id not in results:
            _postpone(state, plan, spec.query_id)
    changed = (state.sent_query_set, state.sent_identity) != (plan.query_set, plan.identity_version)
    if not modifications and not changed and not plan.owes_transition:
        return None
    return _send(state, limits, plan, ts, modifications)


def component_failure(component: str, *, is_admin: bool) -> QueryResult:
    """What a function in a component answers: there are none here."""
    return QueryResult.failure(component_message(component, is_admin=is_admin))


def component_message(component: str, *, is_admin: bool) -> str:
    """Why a call into a component is refused."""
    if not is_admin:
        return "Only admins may name a component: call without componentPath."
    return f"There is no component {component!r}: this deployment has its root only."


def _add_result(
    modifications: list[bytes], query_id: int, query: Query, result: QueryResult
) -> None:
    query.journal = result.journal
    if query.fingerprint != result.fingerprint:
        query.fingerprint = result.fingerprint
        modifications.append(frames.query_modification(query_id, result.fragment))


def _deliverable(result: QueryResult, state: SessionState, limits: SessionLimits) -> QueryResult:
    """The result, or the error that takes its place where it can't be sent in one frame."""
    if limits.frame_bytes is None or state.client.knows_chunks:
        return result
    size = len(result.fragment) + _TRANSITION_BYTES
    if size <= limits.frame_bytes:
        return result
    return QueryResult.failure(
        f"The result of this query takes {size} bytes, more than the {limits.frame_bytes} that one "
        "message to this client may have: return less, or use paginate.",
        journal=result.journal,
    )


def _postpone(state: SessionState, plan: UpdatePlan, query_id: int) -> None:
    query = state.query_set.queries.get(query_id)
    if query is not None and query.added_at <= plan.query_set:
        assert query.fingerprint is None, f"query {query_id} was answered and has no new result"
        state.query_set.stale[query_id] = None


def _send(
    state: SessionState,
    limits: SessionLimits,
    plan: UpdatePlan,
    ts: int,
    modifications: list[bytes],
) -> Send:
    sent_ts = state.sent_ts
    start = frames.state_version(state.sent_query_set, state.sent_identity, sent_ts)
    end = frames.state_version(plan.query_set, plan.identity_version, ts)
    state.sent_query_set = plan.query_set
    state.sent_identity = plan.identity_version
    state.sent_ts = ts
    state.unsent_transitions += 1
    groups = _groups(modifications, state, limits)
    if len(groups) == 1:
        frame = _frame(state, start, end, groups[0])
        largest = limits.chunk_bytes
        if limits.frame_bytes is not None:
            largest = min(largest, limits.frame_bytes)
        if state.client.knows_chunks and len(frame) > largest:
            return Send(split_transition(frame, largest), transitions=1)
        return Send((frame,), transitions=1)
    # The ts moves with the last part: whoever waits for it then has all results.
    between = frames.state_version(plan.query_set, plan.identity_version, sent_ts)
    versions = [start, *[between] * (len(groups) - 1), end]
    parts = [
        _frame(state, versions[at], versions[at + 1], group) for at, group in enumerate(groups)
    ]
    return Send(tuple(parts), transitions=1)


def _groups(
    modifications: list[bytes], state: SessionState, limits: SessionLimits
) -> list[list[bytes]]:
    """The modifications by frame: one, unless the client knows no chunks and frames are bounded."""
    if limits.frame_bytes is None or state.client.knows_chunks:
        return [modifications]
    groups: list[list[bytes]] = [[]]
    room = limits.frame_bytes - _TRANSITION_BYTES
    for modification in modifications:
        room -= len(modification) + 1
        if room < 0 and groups[-1]:
            groups.append([])
            room = limits.frame_bytes - _TRANSITION_BYTES - len(modification) - 1
        groups[-1].append(modification)
    return groups


def _frame(state: SessionState, start: bytes, end: bytes, modifications: list[bytes]) -> bytes:
    return frames.transition(
        start,
        end,
        modifications,
        clock_skew_ms=state.clock_skew_ms,
        server_ms=state.now_ms,
    )
