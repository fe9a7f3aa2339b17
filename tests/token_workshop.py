"""Makes tokens, good and bad ones, and stands for the web of their issuers."""

import base64
import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from syncline.bundle_spec import ProviderSpec
from syncline.errors import CallerError, UnavailableError

if TYPE_CHECKING:
    import asyncio

ISSUER = "https://issuer.test"
APPLICATION = "app"
NOW = 1_900_000_000
"""Seconds since the epoch."""


class Clock:
    def __init__(self, seconds: float = NOW) -> None:
        self.seconds = seconds

    def now_ns(self) -> int:
        return int(self.seconds * 1e9)


@cache
def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Another key for every name; made once a process, it takes a while."""
    del name
    return rsa.generate_private_key(65537, bits)


class Signer:
    """One private key of an issuer."""

    def __init__(
        self, key_id: str | None = "k1", algorithm: str = "RS256", bits: int = 2048
    ) -> None:
        self.key_id = key_id
        self.algorithm = algorithm
        self.key: Any
        match algorithm:
            case "ES256":
                self.key, codec = ec.generate_private_key(ec.SECP256R1()), ECAlgorithm
            case "ES384":
                self.key, codec = ec.generate_private_key(ec.SECP384R1()), ECAlgorithm
            case "EdDSA":
                self.key, codec = ed25519.Ed25519PrivateKey.generate(), OKPAlgorithm
            case _:
                self.key, codec = rsa_key(f"{key_id}", bits), RSAAlgorithm
        public = codec.to_jwk(self.key.public_key(), as_dict=True)
        self.jwk = {**public, "use": "sig"}
        if key_id is not None:
            self.jwk["kid"] = key_id

    def sign(
        self,
        claims: Mapping[str, object] | None = None,
        *,
        header: Mapping[str, object] | None = None,
        **changes: object,
    ) -> str:
        payload = {**good_claims(), **(claims or {}), **changes}
        payload = {name: value for name, value in payload.items() if value is not None}
        headers = {**({"kid": self.key_id} if self.key_id else {}), **(header or {})}
        return jwt.encode(payload, self.key, self.algorithm, headers=headers)

    def public_pem(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def good_claims() -> dict[str, object]:
    return {
        "iss": ISSUER,
        "sub": "u1",
        "aud": APPLICATION,
        "iat": NOW - 10,
        "exp": NOW + 3600,
    }


def unsigned(
    claims: Mapping[str, object], header: Mapping[str, object], signature: str = ""
) -> str:
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
        for part in (header, claims)
    ]
    return ".".join([*parts, signature])


def key_set(*signers: Signer) -> bytes:
    return json.dumps({"keys": [signer.jwk for signer in signers]}).encode()


def oidc(issuer: str = ISSUER, application: str = APPLICATION) -> ProviderSpec:
    return ProviderSpec(issuer, application, ("RS256", "ES256", "EdDSA"), None)


def custom(
    jwks: str, *, algorithm: str = "ES256", issuer: str = ISSUER, application: str | None = None
) -> ProviderSpec:
    return ProviderSpec(issuer, application, (algorithm,), jwks)


def data_uri(*signers: Signer) -> str:
    return "data:application/json;base64," + base64.b64encode(key_set(*signers)).decode()


class Web:
    """The port KeySets: documents by address, counted; some can be made to fail."""

    def __init__(self, *signers: Signer, issuer: str = ISSUER) -> None:
        self.jwks_address = f"{issuer}/keys"
        self.documents = {
            f"{issuer}/.well-known/openid-configuration": json.dumps(
                {"issuer": issuer, "jwks_uri": self.jwks_address}
            ).encode(),
            self.jwks_address: key_set(*signers),
        }
        self.fetched: list[str] = []
        self.is_down = False
        self.gate: asyncio.Event | None = None
        """Answers wait for it."""

    def publish(self, *signers: Signer) -> None:
        self.documents[self.jwks_address] = key_set(*signers)

    async def fetch(self, address: str) -> bytes:
        self.fetched.append(address)
        if self.gate is not None:
            await self.gate.wait()
        if self.is_down:
            raise UnavailableError("AuthProviderUnavailable", f"{address} can't be reached")
        if address not in self.documents:
            raise CallerError("NoDocument", "the answer is HTTP Error 404")
        return self.documents[address]

    @property
    def key_fetches(self) -> int:
        return self.fetched.count(self.jwks_address)


class Deployed:
    """The providers of a bundle; `next_push` is what another process has pushed already."""

    def __init__(self, *specs: ProviderSpec) -> None:
        self.specs: Sequence[ProviderSpec] = specs
        self.next_push: Sequence[ProviderSpec] | None = None

    async def auth_providers(self, *, newest: bool) -> Sequence[ProviderSpec]:
        if newest and self.next_push is not None:
            self.specs, self.next_push = self.next_push, None
        return self.specs
