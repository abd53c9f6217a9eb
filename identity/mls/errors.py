"""Everything that can go wrong in the MLS library.

MlsError (identity.errors)
├── DecodeError          bytes are not the structure they should be
├── VerificationError    a signature, a MAC or an AEAD tag does not fit
├── ValidationError      well-formed and authentic, yet against a rule of RFC 9420; names the rule
├── KeyUnavailable       the key that would open a message is used up, too old, or was never ours
└── StateError           the caller asked for something this group cannot do now

The first four are the peer's doing (drop the message, the group is as it was), the last is our own.
No text ever holds a key, a token or a plaintext.
"""

from __future__ import annotations

from identity.errors import MlsError

__all__ = ["DecodeError", "KeyUnavailable", "MlsError", "StateError", "ValidationError", "VerificationError"]


class DecodeError(MlsError):
    """Bytes that are not the structure they should be. `offset` is where reading stopped."""

    def __init__(self, problem: str, *, offset: int = 0) -> None:
        super().__init__(f"{problem} at byte {offset}")
        self.offset = offset


class VerificationError(MlsError):
    """A cryptographic check failed. `what` names the thing checked, such as "membership tag"."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the {what} does not verify")
        self.what = what


class ValidationError(MlsError):
    """A rule of RFC 9420 was broken. `rule` is a short stable word for it, such as "removes_committer"."""

    def __init__(self, rule: str, problem: str) -> None:
        super().__init__(f"{problem} (rule {rule})")
        self.rule = rule
        self.problem = problem


class KeyUnavailable(MlsError):
    """The key for a message is gone, out of the window, or was never held. `what` says which key."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"no {what}: {reason}")
        self.what = what


class StateError(MlsError):
    """The group cannot do that now, or not with such an argument; the sentence says what to do."""
