"""Who is calling, as functions see it: `ctx.auth.get_user_identity()` (convex-protocol 6.9)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from syncline.values import wire_json
from syncline.values.value import Value

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class UserIdentity:
    """A signed-in user; attributes that the token does not have are None."""

    token_identifier: str
    """ "issuer|subject": unique among all users."""
    subject: str
    issuer: str
    name: str | None = None
    given_name: str | None = None
    family_name: str | None = None
    nickname: str | None = None
    preferred_username: str | None = None
    profile_url: str | None = None
    picture_url: str | None = None
    website_url: str | None = None
    email: str | None = None
    email_verified: bool | None = None
    gender: str | None = None
    birthday: str | None = None
    timezone: str | None = None
    language: str | None = None
    phone_number: str | None = None
    phone_number_verified: bool | None = None
    address: str | None = None
    updated_at: str | None = None
    claims: Mapping[str, Value] = field(default_factory=dict[str, Value])
    """Custom claims under their own names."""


ATTRIBUTES = frozenset(UserIdentity.__dataclass_fields__) - {"claims"}
"""What is no custom claim, by its snake_case name."""


def attribute_name(name: str) -> str:
    """The snake_case name that an attribute or a claim would have as an attribute."""
    return _HUMP.sub("_", name).lower()


def user_identity(attributes: bytes) -> UserIdentity:
    """From UserIdentityAttributes as JSON with camelCase names."""
    decoded = wire_json.decode(attributes)
    assert isinstance(decoded, dict)
    known: dict[str, Value] = {}
    claims: dict[str, Value] = {}
    for name, value in decoded.items():
        snake = attribute_name(name)
        if snake in ATTRIBUTES:
            known[snake] = value
        else:
            claims[name] = value
    known.setdefault("subject", "")
    known.setdefault("issuer", "")
    known.setdefault("token_identifier", f"{known['issuer']}|{known['subject']}")
    return UserIdentity(**known, claims=claims)  # type: ignore[arg-type] # checked by the sender
