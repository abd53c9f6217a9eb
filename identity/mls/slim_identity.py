"""Who is who in a SLIM group: basic credentials that are identity tokens (RFC 9420, 5.3.1).

The identity bytes of a leaf are the UTF-8 text of a token. The token is verified, its `pubkey` claim must be
the leaf's signature key (a verifier may take tokens without one, `identity.mls_key`), and its subject is the
member's identity, unique in the group.

Expiry is a policy, and the reference has none: it refuses a whole tree when the token of any old member
has run out, so that nobody can join a group an hour after it was founded. A token proves at
the time when its leaf enters who holds the signature key; that does not become untrue later. So:

- a leaf that enters (Add, Update, a commit's path) is judged at the time of entering;
- a leaf met in the tree on joining is judged at the time its token was issued, or now if that is earlier. The
  issue time is part of what the token's MAC or signature covers, so nothing is taken on trust: an altered
  time fails, and so does a token dated into the future. Signature and binding are checked always.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from typing import Any, Protocol

from identity.errors import AuthError
from identity.mls import validation
from identity.mls.authentication_service import Occasion
from identity.mls.credential import BASIC, Credential
from identity.mls.errors import ValidationError
from identity.mls.external_senders import ExternalSender
from identity.mls.leaf_node import LeafNode
from identity.mls_key import warn_of_unbound
from identity.protocols import Claims


class TokenClaims(Protocol):
    """What is needed of a verifier (`identity.protocols.Verifier` has it)."""

    def try_get_claims(self, token: str, now: float) -> Claims:
        """Check a token at `now` and return its claims. Raises InvalidToken or KeysMissing."""


class SlimIdentity:
    """The identity policy of SLIM groups, on top of the application's token verifier.

    KeysMissing passes through `identify`, and through whatever group operation asked: nothing has changed
    then, so fetch the keys (`await verifier.get_claims(...)`) and repeat the operation.
    """

    __slots__ = ("_takes_unbound_keys", "_verifier")

    def __init__(self, verifier: TokenClaims, *, takes_unbound_keys: bool = False) -> None:
        """With `takes_unbound_keys` a token without the claim `pubkey` is a credential of any key."""
        self._verifier = verifier
        self._takes_unbound_keys = takes_unbound_keys

    def identify(self, leaf: LeafNode, occasion: Occasion, now: float) -> bytes:
        """The subject of the leaf's token. Raises ValidationError, for a token with rule "credential"."""
        validation.leaf_total_lifetime(leaf)
        if leaf.credential.type != BASIC:
            raise ValidationError("credential", f"a credential of type {leaf.credential.type}, not basic")
        token = credential_token(leaf.credential)
        at = now if occasion is Occasion.ENTERS else min(now, issue_time(token))
        try:
            claims = self._verifier.try_get_claims(token, at)
        except AuthError as error:
            whose = _shown(stated_subject(token))
            raise ValidationError("credential", f"the token of {whose} is refused: {error}") from error
        subject = _subject(claims)
        key = _public_key(claims)
        if key is None:
            if not self._takes_unbound_keys:
                raise ValidationError("credential", "a token without the claim pubkey")
            warn_of_unbound()
        elif key != base64.b64encode(leaf.signature_key).decode():
            raise ValidationError(
                "credential", f"the token of {_shown(subject)} is for another signature key than the leaf's"
            )
        return subject.encode()

    def accept_external_sender(self, sender: ExternalSender, occasion: Occasion, now: float) -> None:
        """Nobody outside a SLIM group has a say in it. Raises ValidationError."""
        raise ValidationError("external_senders", "an external sender in a group of SLIM")

    def is_successor(self, before: bytes, after: bytes) -> bool:
        """A renewed credential has the same subject."""
        return before == after


def token_credential(token: str) -> Credential:
    """The credential made of a token that carries the claim `pubkey` (see `public_key_claim`)."""
    return Credential.basic(token.encode())


def public_key_claim(signature_key: bytes) -> str:
    """The claim `pubkey` for a public signature key: standard base64 with padding."""
    return base64.b64encode(signature_key).decode()


def credential_token(credential: Credential) -> str:
    """The token in a credential. Raises ValidationError when it is no text."""
    try:
        return credential.data.decode()
    except UnicodeDecodeError:
        raise ValidationError("credential", "a credential that is not UTF-8") from None


def stated_subject(token: str) -> str:
    """Whose a token says it is, not verified: the first part, or `sub` of a JWT; empty if nobody's."""
    parts = token.split(":")
    if len(parts) == 5:
        return parts[0]
    try:
        subject = _jwt_payload(token).get("sub")
    except ValidationError:
        return ""
    return subject if isinstance(subject, str) else ""


def issue_time(token: str) -> float:
    """When a token says it was issued, in Unix seconds; not proved by this. Raises ValidationError.

    That is the second of the five parts of a shared secret token; in a JWT the claim `iat`, else `nbf`, else
    the last second before `exp`.
    """
    parts = token.split(":")
    if len(parts) == 5:
        stated: Any = parts[1]
    else:
        payload = _jwt_payload(token)
        stated = payload.get("iat", payload.get("nbf"))
        if stated is None and (expiry := _seconds(payload.get("exp"))) is not None:
            stated = expiry - 1
    seconds = _seconds(stated)
    if seconds is None:
        raise ValidationError("credential", "a token that does not say when it was issued")
    return seconds


def _jwt_payload(token: str) -> dict[str, Any]:
    try:
        _, body, _ = token.split(".")
        payload = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        payload = None
    if not isinstance(payload, dict):
        raise ValidationError("credential", "a credential that is neither kind of token")
    return payload


def _seconds(value: object) -> float | None:
    """A number of seconds, or `None` for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) else None


def _shown(subject: str) -> str:
    """A subject for the text of an error: one line, and not a long one, whatever a stranger wrote."""
    return repr(subject if len(subject) <= 80 else subject[:80] + "...") if subject else "nobody"


def _public_key(claims: Claims) -> str | None:
    """The claim `pubkey`; None without one. Raises ValidationError for one that is no text."""
    found = claims.get("pubkey")
    if found is None and isinstance(custom := claims.get("custom_claims"), dict):
        found = custom.get("pubkey")
    if found is not None and not isinstance(found, str):
        raise ValidationError("credential", "a token whose claim pubkey is no text")
    return found


def _subject(claims: Claims) -> str:
    subject = claims.get("sub", claims.get("id"))
    if not isinstance(subject, str) or not subject:
        raise ValidationError("credential", "a token without a subject")
    return subject
