"""The example that checks a payment provider's webhooks: what is taken in, and what is refused."""

import asyncio
import importlib.util
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from syncline.errors import ApplicationError
from syncline.testing import Deployment

FUNCTIONS = Path(__file__).resolve().parents[2] / "examples" / "payment-webhook" / "functions"
SECRET = "whsec_of_the_test"
START = 1_893_456_000
"""The clock of a deployment in memory begins here."""


def _signature_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("_signature", FUNCTIONS / "_signature.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SIGN: Callable[[str, str, int], str] = _signature_module().sign


def message(event: str = "evt_1", kind: str = "payment.succeeded") -> str:
    data = {"order": "order-7", "amount": 49.5, "currency": "EUR"}
    return json.dumps({"id": event, "type": kind, "data": data})


def played(script: Callable[[Deployment], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with Deployment(FUNCTIONS) as app:
            await app.set_environment(PAYMENT_WEBHOOK_SECRET=SECRET)
            await script(app)

    asyncio.run(main())


def test_a_signed_payment_reaches_whoever_waits_for_it():
    async def script(app: Deployment) -> None:
        async with app.subscribe("payments:of_order", order="order-7") as payments:
            signature = SIGN(message(), SECRET, START)
            answer = await app.as_anonymous().fetch(
                "POST",
                "/webhooks/payments",
                body=message().encode(),
                headers={"Payment-Signature": signature},
            )
            assert (answer.status, answer.body) == (200, b"stored")
        assert [payment["amount"] for payment in payments.current] == [49.5]

    played(script)


def test_a_message_that_is_sent_again_is_stored_once():
    async def script(app: Deployment) -> None:
        sent = {"payload": message(), "signature": SIGN(message(), SECRET, START)}
        answers = await asyncio.gather(*(app.action("payments:receive", **sent) for _ in range(5)))
        assert sorted(answers) == ["known"] * 4 + ["stored"]
        assert len(await app.query("payments:of_order", order="order-7")) == 1

    played(script)


def test_other_events_are_ignored():
    async def script(app: Deployment) -> None:
        refund = message(kind="payment.refunded")
        answer = await app.action(
            "payments:receive", payload=refund, signature=SIGN(refund, SECRET, START)
        )
        assert answer == "ignored"

    played(script)


@pytest.mark.parametrize(
    ("payload", "signature"),
    [
        (message(), SIGN(message(), "another secret", START)),
        (message().replace("49.5", "1.0"), SIGN(message(), SECRET, START)),
        (message(), SIGN(message(), SECRET, START - 301)),
        (message(), SIGN(message(), SECRET, START + 360)),
        (message(), SIGN(message(), SECRET, START).replace(f"t={START}", f"t={START + 1}")),
        (message(), f"t={START}"),
        (message(), "t=soon,v1=é"),
        (message(), ""),
    ],
    ids=["secret", "changed", "old", "future", "re-dated", "unsigned", "nonsense", "empty"],
)
def test_whatever_the_provider_did_not_sign_just_now_is_refused(payload: str, signature: str):
    async def script(app: Deployment) -> None:
        with pytest.raises(ApplicationError) as caught:
            await app.action("payments:receive", payload=payload, signature=signature)
        assert caught.value.data == {"code": "bad signature"}
        answer = await app.fetch(
            "POST",
            "/webhooks/payments",
            body=payload.encode(),
            headers={"Payment-Signature": signature},
        )
        assert (answer.status, answer.body) == (400, b"bad signature")
        assert await app.query("payments:of_order", order="order-7") == []

    played(script)


def test_either_signature_is_enough_while_the_secret_changes():
    async def script(app: Deployment) -> None:
        old, new = SIGN(message(), "the old one", START), SIGN(message(), SECRET, START)
        both = f"{old},{new.partition(',')[2]}"
        answer = await app.action("payments:receive", payload=message(), signature=both)
        assert answer == "stored"

    played(script)
