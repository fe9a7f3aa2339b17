"""From the claims of a token to what functions see of a user (convex-protocol.md 6.9)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, cast

import orjson

from syncline.errors import CallerError
from syncline.execution.identity import ATTRIBUTES, attribute_name
from syncline.values import wire_json

_TEXTS: Final = {
    "name": "name",
    "given_name": "givenName",
    "family_name": "familyName",
    "nickname": "nickname",
    "preferred_username": "preferredUsername",
    "profile": "profileUrl",
    "picture": "pictureUrl",
    "website": "websiteUrl",
    "email": "email",
    "gender": "gender",
    "birthdate": "birthday",
    "zoneinfo": "timezone",
    "locale": "language",
    "phone_number": "phoneNumber",
}
"""Claims of OpenID Connect Core 5.1 that are text, and the attributes that they become."""

_FLAGS: Final = {"email_verified": "emailVerified", "phone_number_verified": "phoneNumberVerified"}

_ABOUT_THE_TOKEN: Final = frozenset(
    "iss sub aud exp nbf iat jti azp nonce auth_time acr amr at_hash c_hash fva".split()
)
"""Claims that say nothing of the user, or change with every token."""

_KNOWN: Final = frozenset({*_TEXTS, *_FLAGS, *_ABOUT_THE_TOKEN, "address", "updated_at"})


def user_attributes(claims: Mapping[str, object]) -> bytes:
    """UserIdentityAttributes as JSON, the same for all tokens that say the same of a user.

    `iss` and `sub` are text. A claim of another type than it should have is left out, and so is a
    custom claim that is no value, or that would pass for an attribute of ours.
    """
    issuer, subject = str(claims["iss"]), str(claims["sub"])
    attributes: dict[str, object] = {
        "tokenIdentifier": f"{issuer}|{subject}",
        "issuer": issuer,
        "subject": subject,
    }
    for claim, attribute in _TEXTS.items():
        if isinstance(value := claims.get(claim), str):
            attributes[attribute] = value
    for claim, attribute in _FLAGS.items():
        if (flag := _flag(claims.get(claim))) is not None:
            attributes[attribute] = flag
    if (address := _address(claims.get("address"))) is not None:
        attributes["address"] = address
    if (updated_at := _time(claims.get("updated_at"))) is not None:
        attributes["updatedAt"] = updated_at
    attributes |= {
        claim: value
        for claim, value in claims.items()
        if claim not in _KNOWN and not _is_attribute(claim) and _is_value({claim: value})
    }
    return orjson.dumps(attributes, option=orjson.OPT_SORT_KEYS)


def _flag(value: object) -> bool | None:
    # Some issuers send text.
    return {"true": True, "false": False}.get(str(value).lower())


def _address(value: object) -> str | None:
    if isinstance(value, dict):
        value = cast("dict[str, object]", value).get("formatted")
    return value if isinstance(value, str) else None


def _time(value: object) -> str | None:
    """RFC 3339 text, from that or from seconds since the epoch."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value if isinstance(value, str) else None
    try:
        return datetime.fromtimestamp(value, UTC).isoformat().replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return None


def _is_attribute(claim: str) -> bool:
    """Whether functions would take a claim for an attribute: whoever writes it chose the user."""
    return attribute_name(claim) in ATTRIBUTES


def _is_value(field: dict[str, object]) -> bool:
    try:
        wire_json.decode(orjson.dumps(field))
    except (orjson.JSONEncodeError, CallerError):
        return False
    return True
