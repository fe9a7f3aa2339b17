"""The development issuer: one key a data folder, and tokens that its deployment alone takes."""

import asyncio
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest

from syncline.drivers.credentials import AuthenticationError
from syncline.drivers.tokens import Tokens
from syncline.errors import CallerError
from syncline.local.development_issuer import DevelopmentIssuer
from tests.token_workshop import NOW, Clock, Deployed, Web


def tokens_of(data: Path) -> Tokens:
    return Tokens(Deployed(), Web(), Clock(), own=[DevelopmentIssuer(data).provider()])


def test_its_token_signs_in_with_the_claims_that_it_was_given(tmp_path: Path):
    claims = {"name": "Ada", "email_verified": True, "roles": ["editor"]}
    token = DevelopmentIssuer(tmp_path).token("ada", claims, now=NOW, seconds=60)
    login = asyncio.run(tokens_of(tmp_path).login(token))
    assert login.caller.identity is not None
    assert orjson.loads(login.caller.identity) == {
        "emailVerified": True,
        "issuer": "https://development.syncline.invalid",
        "name": "Ada",
        "roles": ["editor"],
        "subject": "ada",
        "tokenIdentifier": "https://development.syncline.invalid|ada",
    }


def test_a_token_of_another_folder_is_refused(tmp_path: Path):
    token = DevelopmentIssuer(tmp_path / "a").token("ada", {}, now=NOW, seconds=60)
    with pytest.raises(AuthenticationError):
        asyncio.run(tokens_of(tmp_path / "b").login(token))


def test_the_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path):
    with ThreadPoolExecutor(8) as threads:
        issuers = list(threads.map(lambda _: DevelopmentIssuer(tmp_path / "data"), range(8)))
    assert len({issuer.provider() for issuer in issuers}) == 1
    (file,) = (tmp_path / "data").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("subject", "claims", "problem"),
    [("", {}, "needs a subject"), ("ada", {"iss": "https://else"}, "'iss' is made by the issuer")],
)
def test_what_the_issuer_says_itself_is_not_to_be_claimed(
    tmp_path: Path, subject: str, claims: dict[str, object], problem: str
):
    with pytest.raises(CallerError, match=problem):
        DevelopmentIssuer(tmp_path).token(subject, claims, now=NOW, seconds=60)
