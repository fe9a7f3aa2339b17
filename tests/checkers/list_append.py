"""Is a history of reads of and appends to lists serializable? (the idea of Elle, Kingsbury 2020)

A read of a list shows who appended before it and in which order, so most of the hidden order of
commits can be read off: for each key the longest list is the version order, every other read must
be a prefix of it, and appends that no read shows come after it. From this follow the dependencies
of transactions; a cycle of them proves that no serial order explains what was seen.

Found without the graph: internal (a transaction contradicts itself), phantom (a value that nobody
appended), duplicate-elements, G1a (aborted read), G1b (intermediate read), incompatible-order,
lost-update. Found as cycles: see dependency_graph. With `realtime`, transactions must also take
effect between invocation and answer (strict serializability).
"""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from itertools import pairwise

from tests.checkers.dependency_graph import DependencyGraph
from tests.checkers.history import Anomaly, Append, Read, Transaction, Verdict

Key = Hashable
Values = tuple[int, ...]


def check(history: Sequence[Transaction], *, realtime: bool = True) -> Verdict:
    """Everything wrong with a history, at most one example of each kind of cycle.

    Raises:
        ValueError: a value is appended to a key twice, or two transactions share an id: such a
            history can't be judged.
    """
    observed = _Observations(history)
    anomalies = [
        *_contradictions_within(history),
        *observed.bad_values(),
        *observed.incompatible_orders(),
        *observed.lost_updates(),
    ]
    graph = observed.graph()
    if realtime:
        _add_realtime(graph, [each for each in history if each.id in observed.committed])
    for kind, cycle in graph.cycles(realtime=realtime):
        members = tuple(number for number, _ in cycle)
        anomalies.append(Anomaly(kind, members, graph.describe(cycle)))
    return Verdict(tuple(anomalies))


def _contradictions_within(history: Sequence[Transaction]) -> Iterator[Anomaly]:
    """A transaction must see what it has read and appended itself."""
    for each in history:
        if each.status != "ok":
            continue
        expected: dict[Key, Values] = {}
        suffix: dict[Key, Values] = defaultdict(tuple)
        for operation in each.operations:
            key = operation.key
            if isinstance(operation, Append):
                suffix[key] += (operation.value,)
                if key in expected:
                    expected[key] += (operation.value,)
                continue
            values = operation.values
            assert values is not None, "a transaction that is ok knows what it has read"
            own = suffix[key]
            is_right = values == expected[key] if key in expected else _ends_with(values, own)
            if not is_right:
                wanted = expected.get(key, ("...", *own))
                detail = f"read {values} from {key!r} where its own operations say {wanted}"
                yield Anomaly("internal", (each.id,), detail)
            expected[key] = values


def _ends_with(values: Values, suffix: Values) -> bool:
    return values[len(values) - len(suffix) :] == suffix if suffix else True


class _Observations:
    """Reads of others' values, version orders and writers."""

    def __init__(self, history: Sequence[Transaction]) -> None:
        self.by_id = {each.id: each for each in history}
        if len(self.by_id) != len(history):
            raise ValueError("two transactions share an id")
        self.writer: dict[tuple[Key, int], Transaction] = {}
        for each in history:
            for operation in each.operations:
                if isinstance(operation, Append):
                    entry = operation.key, operation.value
                    if entry in self.writer:
                        raise ValueError(f"{operation.value} is appended to {entry[0]!r} twice")
                    self.writer[entry] = each
        self.reads = [
            (each, operation.key, values)
            for each in history
            if each.status == "ok"
            for operation, values in _outer_reads(each)
        ]
        self.orders: dict[Key, Values] = {}
        for _, key, values in self.reads:
            if len(values) > len(self.orders.setdefault(key, ())):
                self.orders[key] = values
        seen = {
            self.writer[key, v].id
            for _, key, vs in self.reads
            for v in vs
            if (key, v) in self.writer
        }
        self.committed = {
            each.id
            for each in history
            if each.status == "ok" or (each.status == "unknown" and each.id in seen)
        }

    def bad_values(self) -> Iterator[Anomaly]:
        """Values that the reader must not see, or not so."""
        for reader, key, values in self.reads:
            if len(set(values)) != len(values):
                yield Anomaly("duplicate-elements", (reader.id,), f"read {values} from {key!r}")
            for value in values:
                writer = self.writer.get((key, value))
                if writer is None:
                    detail = f"read {value} from {key!r}, which nobody appended"
                    yield Anomaly("phantom", (reader.id,), detail)
                elif writer.status == "fail":
                    detail = f"read {value} from {key!r}, which T{writer.id} appended and failed"
                    yield Anomaly("G1a", (reader.id, writer.id), detail)
            last = self.writer.get((key, values[-1])) if values else None
            if last and last is not reader and last.last_appends()[key] != values[-1]:
                detail = f"read {values} from {key!r}, between two appends of T{last.id}"
                yield Anomaly("G1b", (reader.id, last.id), detail)

    def incompatible_orders(self) -> Iterator[Anomaly]:
        """Two reads of a key of which none begins with the other."""
        longest = {key: reader for reader, key, values in self.reads if values == self.orders[key]}
        for reader, key, values in self.reads:
            order = self.orders[key]
            if values != order[: len(values)]:
                detail = f"{values} and {order} of {key!r} can't both have been the list"
                yield Anomaly("incompatible-order", (reader.id, longest[key].id), detail)

    def lost_updates(self) -> Iterator[Anomaly]:
        """Transactions that read the same version of a key, then both appended to it."""
        updates: dict[tuple[Key, Values], list[int]] = defaultdict(list)
        for reader, key, values in self.reads:
            if key in reader.last_appends():
                updates[key, values].append(reader.id)
        for (key, values), updaters in updates.items():
            if len(updaters) > 1:
                detail = f"all read {values} from {key!r} and appended to it"
                yield Anomaly("lost-update", tuple(updaters), detail)

    def graph(self) -> DependencyGraph:
        """The dependencies that reads and version orders imply."""
        graph = DependencyGraph()
        unseen = self._unseen_appends()
        for key, order in self.orders.items():
            writers = [self.writer.get((key, value)) for value in order]
            for at, (before, after) in enumerate(pairwise(writers)):
                if before and after:
                    graph.add("ww", before.id, after.id, f"{key!r} was {order[: at + 2]}")
            for later, value in unseen[key]:
                if writers and writers[-1]:
                    reason = f"no read of {key!r} shows {value}, so it came after {order}"
                    graph.add("ww", writers[-1].id, later.id, reason)
        for reader, key, values in self.reads:
            self._add_read(graph, reader, key, values, unseen[key])
        return graph

    def _add_read(
        self,
        graph: DependencyGraph,
        reader: Transaction,
        key: Key,
        values: Values,
        unseen: list[tuple[Transaction, int]],
    ) -> None:
        writer = self.writer.get((key, values[-1])) if values else None
        if writer:
            graph.add("wr", writer.id, reader.id, f"read {values} from {key!r}")
        order = self.orders[key]
        if values != order[: len(values)]:
            return  # reported as incompatible; it has no place in the order
        reason = f"read {values} from {key!r}, before "
        if len(values) < len(order):
            after = self.writer.get((key, order[len(values)]))
            if after:
                graph.add("rw", reader.id, after.id, f"{reason}{order[len(values)]}")
            return
        for later, value in unseen:
            graph.add("rw", reader.id, later.id, f"{reason}{value}")

    def _unseen_appends(self) -> dict[Key, list[tuple[Transaction, int]]]:
        """Committed appends that no read shows: later than every version that was read."""
        unseen: dict[Key, list[tuple[Transaction, int]]] = defaultdict(list)
        shown = {(key, value) for key, order in self.orders.items() for value in order}
        for (key, value), writer in self.writer.items():
            if writer.id in self.committed and (key, value) not in shown:
                unseen[key].append((writer, value))
        return unseen


def _outer_reads(transaction: Transaction) -> Iterator[tuple[Read, Values]]:
    """Each key's first read, without what the transaction itself had appended before it."""
    own: dict[Key, Values] = defaultdict(tuple)
    done: set[Key] = set()
    for operation in transaction.operations:
        if isinstance(operation, Append):
            own[operation.key] += (operation.value,)
        elif operation.key not in done and operation.values is not None:
            done.add(operation.key)
            values, suffix = operation.values, own[operation.key]
            if suffix and _ends_with(values, suffix):
                values = values[: len(values) - len(suffix)]
            yield operation, values


def _add_realtime(graph: DependencyGraph, committed: Sequence[Transaction]) -> None:
    """An edge from each transaction to those begun after its answer, without the implied ones."""
    begun_after: dict[int, list[Transaction]] = {}
    frontier: dict[int, Transaction] = {}
    moments = sorted(
        [(each.invoked, 0, each.id, each) for each in committed]
        + [(each.completed, 1, each.id, each) for each in committed if each.completed is not None],
        key=lambda moment: moment[:3],
    )
    for time, is_answer, _, each in moments:
        if not is_answer:
            begun_after[each.id] = list(frontier.values())
            for before in frontier.values():
                graph.add("rt", before.id, each.id, f"answered before {time}")
        else:
            for before in begun_after[each.id]:
                frontier.pop(before.id, None)
            frontier[each.id] = each
