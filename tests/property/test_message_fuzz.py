"""Whatever text arrives, a session answers as documented: it never raises."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from syncline.sync.client_kind import ClientKind
from syncline.sync.phases import Phase
from syncline.sync.session import Close, Effect, RunAction, RunMutation, Send, Session, VerifyToken

CONNECT = {
    "type": "Connect",
    "sessionId": "0b6c7b4e-6a51-4b0e-9a51-2f9d0c1d7a10",
    "connectionCount": 0,
    "lastCloseReason": "InitialConnect",
    "maxObservedTimestamp": "ZAAAAAAAAAA=",
    "clientTs": 1_790_000_000_000,
}
ADD = {"type": "Add", "queryId": 0, "udfPath": "a:b", "args": [{}], "journal": None}
VALID: list[dict[str, Any]] = [
    CONNECT,
    {"type": "Authenticate", "baseVersion": 0, "tokenType": "User", "value": "t"},
    {"type": "Authenticate", "baseVersion": 0, "tokenType": "None"},
    {
        "type": "ModifyQuerySet",
        "baseVersion": 0,
        "newVersion": 1,
        "modifications": [ADD, {"type": "Remove", "queryId": 0}],
    },
    {"type": "Mutation", "requestId": 3, "udfPath": "a:b", "args": [{}], "componentPath": ""},
    {"type": "Action", "requestId": 4, "udfPath": "a:b", "args": [{"x": 1}]},
    {"type": "Event", "eventType": "ClientConnect", "event": {"any": "json"}},
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A valid message with a field replaced, removed or added, perhaps cut or spliced."""
    message = dict(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(0, 2))):
        field = draw(st.sampled_from([*message, "extra"]))
        if draw(st.booleans()):
            message[field] = draw(JSON)
        else:
            message.pop(field, None)
    text = json.dumps(message, ensure_ascii=draw(st.booleans()))
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.text(max_size=3)) + text[at + draw(st.integers(0, 3)) :]
    return text


INPUTS = st.one_of(
    mutated(),
    mutated().map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.text(),
    st.binary(),
    st.sampled_from(VALID).map(json.dumps),
)


def check(effects: list[Effect], session: Session) -> None:
    for at, effect in enumerate(effects):
        match effect:
            case Send(frames):
                for frame in frames:
                    message = json.loads(frame.decode())
                    assert message["type"] in ("FatalError", "MutationResponse", "ActionResponse")
            case RunMutation() | RunAction():
                assert effect.arguments[:1] == b"["
                json.loads(effect.arguments.decode())
            case VerifyToken():
                assert session.phase is Phase.VERIFYING or session.is_closed
            case Close(code, _):
                assert at == len(effects) - 1
                assert code in (None, 1013)
    assert session.is_closed == any(isinstance(effect, Close) for effect in effects)


@given(st.lists(INPUTS, max_size=8), st.booleans())
def test_no_input_makes_a_session_raise(inputs: list[str | bytes], connects: bool):
    session = Session(ClientKind(), now_ms=0)
    if connects:
        session.receive(json.dumps(CONNECT), 0)
    for at, text in enumerate(inputs):
        effects = session.receive(text, at)
        check(effects, session)
        again = Session.decode_state(session.encode_state())
        assert again.encode_state() == session.encode_state()
        if session.is_closed:
            assert session.receive(text, at) == []
            return


@given(st.sampled_from([message["type"] for message in VALID]), st.integers(1, 3))
def test_depth_of_any_kind_is_refused_and_not_followed(kind: str, closers: int):
    session = Session(ClientKind(), now_ms=0)
    session.receive(json.dumps(CONNECT), 0)
    for opener, closer in (("[", "]"), ('{"a":', "}")):
        nested = opener * 50_000 + "1" + closer * (50_000 * closers // 3)
        text = f'{{"type":"{kind}","requestId":1,"udfPath":"a:b","args":{nested}}}'
        check(session.receive(text, 0), session)
        assert session.is_closed
        session = Session(ClientKind(), now_ms=0)
        session.receive(json.dumps(CONNECT), 0)
