"""The development issuer: signs tokens on this machine, so that nobody needs an account elsewhere.

Its key lies in the data folder. `syncline dev` takes its tokens beside those of `auth_config.py`;
a deployment on AWS has no such folder and never does.
"""

import base64
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.algorithms import ECAlgorithm

from syncline.bundle_spec import ProviderSpec
from syncline.errors import CallerError
from syncline.registration.auth_providers import DEVELOPMENT_ISSUER

APPLICATION_ID: Final = "syncline"
_ALGORITHM: Final = "ES256"
_KEY_FILE: Final = "development_issuer.pem"
_OURS: Final = frozenset({"iss", "sub", "aud", "iat", "exp", "nbf"})


class DevelopmentIssuer:
    """Signs and is known by the one key of a data folder, which is made when first asked for."""

    def __init__(self, data: Path) -> None:
        key = load_pem_private_key(_key_file(data).read_bytes(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey), "nobody else writes this file"
        self._key = key
        public = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        self._key_id = _key_id_of(public)
        self._public = {**public, "kid": self._key_id, "alg": _ALGORITHM, "use": "sig"}

    def provider(self) -> ProviderSpec:
        """By what its tokens are known."""
        keys = json.dumps({"keys": [self._public]}).encode()
        uri = "data:application/json;base64," + base64.b64encode(keys).decode()
        return ProviderSpec(DEVELOPMENT_ISSUER, APPLICATION_ID, (_ALGORITHM,), uri)

    def token(self, subject: str, claims: Mapping[str, object], *, now: int, seconds: int) -> str:
        """A token of a user, good for so many seconds from `now` (seconds since the epoch).

        Raises:
            CallerError: no subject, or a claim that the issuer itself makes.
        """
        taken = sorted(_OURS & claims.keys())
        if taken:
            raise CallerError("ReservedClaim", f"The claim {taken[0]!r} is made by the issuer.")
        if not subject:
            raise CallerError("NoSubject", "A token needs a subject: whom is it for?")
        payload = {
            **claims,
            "iss": DEVELOPMENT_ISSUER,
            "sub": subject,
            "aud": APPLICATION_ID,
            "iat": now,
            "exp": now + seconds,
        }
        return jwt.encode(payload, self._key, _ALGORITHM, headers={"kid": self._key_id})


def _key_id_of(public: Mapping[str, object]) -> str:
    """An id of a public key: the beginning of its coordinates, which are public too."""
    return str(public["x"])[:16]


def _key_file(data: Path) -> Path:
    """The key's file, mode 0600; the first of several who make it at once wins."""
    path = data / _KEY_FILE
    if path.exists():
        return path
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    partial = data / f"{_KEY_FILE}.{secrets.token_hex(8)}"
    partial.touch(mode=0o600)
    partial.write_bytes(pem)
    try:
        os.link(partial, path)
    except FileExistsError:
        return path
    finally:
        partial.unlink()
    return path
