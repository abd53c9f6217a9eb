"""Who is who in a session's MLS group: credentials, judged by the application's verifier (`session.md` 11.2).

A credential is an identity token. Our own is believed: we hold its key, and the verifier is for others. That
of somebody else is judged when its leaf enters (Add, a renewed credential) at that time, and when we meet it
in the tree we join, at the time it was issued: a member does not drop out because its token ran out since.
For the same reason a commit's path that keeps its maker's credential is not judged again. SLIM's own
implementation judges every leaf now, always: an hour after it was founded nobody can join its groups.

The verifier may lack keys, and it belongs to the application's loop. So what is judged on the loop is
remembered for the operation at hand, which can then run in a thread, and what the verifier lacks is gathered.
"""

from __future__ import annotations

from actors.session.crypto import KeysWanted
from identity.jose.jws import payload_of
from identity.mls import Group, Occasion, SlimIdentity
from identity.mls.errors import ValidationError
from identity.mls.external_senders import ExternalSender
from identity.mls.leaf_node import LeafNode, LeafNodeSource
from identity.mls.slim_identity import credential_token, issue_time, stated_subject
from identity.protocols import Claims, KeysMissing, Verifier
from identity.shared_secret import VALIDITY_WINDOW

_Pair = tuple[bytes, bytes]
"""Signature key and credential: what a verified token binds together."""


class Credentials:
    """The identity policy of one group (`identity.mls.AuthenticationService`), with a memory."""

    def __init__(self, verifier: Verifier, own_key: bytes = b"") -> None:
        """`own_key` is our public signature key in this group."""
        self._verifier = verifier
        self.own_key = own_key
        # Verifiers that others made do not know the question.
        unbound = bool(getattr(verifier, "takes_unbound_keys", False))
        self._judge = SlimIdentity(self, takes_unbound_keys=unbound)
        self._members: dict[_Pair, bytes] = {}
        """Subjects of the present members, and of some who went."""
        self._room = 64
        self._new: dict[_Pair, bytes] = {}
        """Judged for the operation at hand."""
        self._wanted: dict[tuple[str, float], None] = {}

    def begin(self) -> None:
        """An operation on the group begins."""
        self._new.clear()
        self._wanted.clear()

    def accept(self, group: Group) -> None:
        """The operation succeeded: whom it judged is in."""
        self._members |= self._new
        self._new.clear()
        if len(self._members) > self._room:
            leaves = ((group.leaf_node(index), subject) for index, subject in group.members.items())
            self._members = {
                (leaf.signature_key, leaf.credential.data): subject
                for leaf, subject in leaves
                if leaf is not None
            }
            self._room = 2 * len(self._members) + 64

    def keys_wanted(self) -> KeysWanted | None:
        """What the verifier lacked for the operation at hand, if anything."""
        return KeysWanted(tuple(self._wanted)) if self._wanted else None

    def identify(self, leaf: LeafNode, occasion: Occasion, now: float) -> bytes:
        """The subject of a leaf. Raises ValidationError; KeysMissing for a leaf that enters."""
        if leaf.signature_key == self.own_key:
            return self._own_subject(leaf)
        pair = leaf.signature_key, leaf.credential.data
        known = self._new.get(pair)
        if known is None and leaf.source is LeafNodeSource.COMMIT:
            known = self._members.get(pair)
        if known is not None:
            return known
        try:
            subject = self._judge.identify(leaf, occasion, now)
        except KeysMissing:
            if occasion is Occasion.IN_TREE:
                # See what else is lacking; whoever joins looks at `keys_wanted` afterwards.
                return b"?" + leaf.signature_key
            raise
        self._new[pair] = subject
        return subject

    def _own_subject(self, leaf: LeafNode) -> bytes:
        """Whom our own leaf is of: nobody else can sign one with our key, and the verifier is for others, of
        whom it may expect another name, key, audience or issuer than ours. Raises ValidationError."""
        subject = stated_subject(credential_token(leaf.credential))
        if not subject:
            raise ValidationError("credential", "our own token is without a subject")
        return subject.encode()

    def accept_external_sender(self, sender: ExternalSender, occasion: Occasion, now: float) -> None:
        self._judge.accept_external_sender(sender, occasion, now)

    def is_successor(self, before: bytes, after: bytes) -> bool:
        return self._judge.is_successor(before, after)

    def try_get_claims(self, token: str, now: float) -> Claims:
        """For the judge: the application's verifier, and a note of what it could not tell."""
        try:
            return self._verifier.try_get_claims(token, now)
        except KeysMissing:
            self._wanted[token, now] = None
            raise


class Survey:
    """An identity policy that judges nobody: it notes the leaves of a tree, to be judged elsewhere."""

    def __init__(self) -> None:
        self.leaves: list[LeafNode] = []

    def identify(self, leaf: LeafNode, occasion: Occasion, now: float) -> bytes:
        self.leaves.append(leaf)
        return leaf.signature_key

    def accept_external_sender(self, sender: ExternalSender, occasion: Occasion, now: float) -> None:
        """Left to the policy that judges in earnest."""

    def is_successor(self, before: bytes, after: bytes) -> bool:
        return before == after


def half_life(token: str) -> float:
    """The Unix time when half of a token's life is over. Raises MlsError or InvalidToken for no token."""
    issued = issue_time(token)
    expires = issued + VALIDITY_WINDOW
    if token.count(".") == 2 and isinstance(stated := payload_of(token).get("exp"), int | float):
        expires = float(stated)
    return issued + (expires - issued) / 2
