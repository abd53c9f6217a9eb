"""A group, as one member of it uses it (RFC 9420, 11 and 12).

`Group` keeps the state of the current epoch, the message keys of a few past ones, and what has been said in
this epoch. It has no clock and no randomness of its own: both are arguments. Whatever raises an error here
has changed nothing; in particular a bad message leaves the group able to take the right one.

Whoever stores a group writes `snapshot()` before a ciphertext leaves, or a restart repeats key and nonce.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from os import urandom

from identity.mls import validation
from identity.mls.authentication_service import AuthenticationService
from identity.mls.cipher_suite import CipherSuite, Random, suite
from identity.mls.commit import (
    CommitApplied,
    PendingCommit,
    Removed,
    make_commit,
    make_external_commit,
    process_commit,
    signature_key_of,
)
from identity.mls.creation import found
from identity.mls.credential import Credential
from identity.mls.epoch_view import EpochView
from identity.mls.errors import KeyUnavailable, StateError, ValidationError
from identity.mls.framing import (
    AuthenticatedContent,
    ContentType,
    FramedContent,
    PrivateMessage,
    PublicMessage,
    Sender,
    WireFormat,
    decode_message,
    encode_message,
)
from identity.mls.group_state import GroupState, PskLookup
from identity.mls.leaf_node import (
    Extensions,
    LeafNode,
    LeafNodeSource,
    leaf_position,
)
from identity.mls.messages import Commit, GroupInfo, Welcome
from identity.mls.past_epochs import PAST_EPOCHS, PAST_LIFETIME, PastEpochs
from identity.mls.pending_proposals import PendingProposals
from identity.mls.private_message import Decrypted, EpochKeys
from identity.mls.proposal import (
    Add,
    KeyPackage,
    PreSharedKeyId,
    Proposal,
    PskType,
    Remove,
    Update,
)
from identity.mls.proposal_list import Application, GroupView, Proposed
from identity.mls.secret import Secret
from identity.mls.signatures import SignatureKey
from identity.mls.snapshot import GroupSnapshot
from identity.mls.validation import VerifyMany
from identity.mls.welcome import (
    CAPABILITIES,
    KeyPackageBundle,
    accept_tree,
    check_bundle,
    join,
)

REUSE_GUARD = 4


@dataclass(frozen=True, slots=True)
class ProposalReceived:
    """A proposal that a coming commit may refer to."""

    proposal: Proposal
    sender: Sender
    reference: bytes


Event = Decrypted | ProposalReceived | CommitApplied | Removed
"""What a processed message turned out to be."""


def no_psks(psk: PreSharedKeyId) -> bytes | None:
    """A store without any pre-shared key."""
    return None


class Group(EpochView):
    """One member's view of one group. Make it with `create`, `join`, `join_external` or `load`."""

    __slots__ = (
        "_identity",
        "_past",
        "_pending",
        "_proposals",
        "_psks",
        "_random",
    )

    def __init__(
        self,
        state: GroupState,
        *,
        identity: AuthenticationService,
        random: Random,
        psks: PskLookup,
        past_epochs: int = PAST_EPOCHS,
        past_lifetime: float = PAST_LIFETIME,
    ) -> None:
        super().__init__(state)
        self._identity = identity
        self._random = random
        self._psks = psks
        self._pending: PendingCommit | None = None
        self._past = PastEpochs(past_epochs, past_lifetime)
        self._past.begin(state.context.epoch, state.secrets.resumption_psk)
        self._proposals = PendingProposals()

    def __repr__(self) -> str:
        members = len(self._state.roster.members)
        return f"Group(epoch={self.epoch}, {members} members, own leaf {self.own_leaf})"

    # Coming into being

    @classmethod
    def create(
        cls,
        suite: CipherSuite,
        signer: SignatureKey,
        credential: Credential,
        *,
        identity: AuthenticationService,
        now: float,
        group_id: bytes | None = None,
        extensions: Extensions = (),
        random: Random = urandom,
        psks: PskLookup = no_psks,
        past_epochs: int = PAST_EPOCHS,
        past_lifetime: float = PAST_LIFETIME,
    ) -> Group:
        """Found a group of one member (section 11). `now` is in Unix seconds; the id is random if not given.

        Raises ValidationError when the identity policy refuses our own credential.
        """
        state = found(
            suite,
            signer,
            credential,
            identity,
            group_id=group_id,
            extensions=extensions,
            random=random,
            now=now,
        )
        return cls(
            state,
            identity=identity,
            random=random,
            psks=psks,
            past_epochs=past_epochs,
            past_lifetime=past_lifetime,
        )

    @classmethod
    def join(
        cls,
        welcome: bytes,
        bundle: KeyPackageBundle,
        *,
        identity: AuthenticationService,
        now: float,
        ratchet_tree: bytes | None = None,
        predecessor: Group | None = None,
        verify_many: VerifyMany = map,
        random: Random = urandom,
        psks: PskLookup = no_psks,
        past_epochs: int = PAST_EPOCHS,
        past_lifetime: float = PAST_LIFETIME,
    ) -> Group:
        """Join by a Welcome, given as an MLSMessage (section 12.4.3.1).

        `ratchet_tree` is for a Welcome that comes without it, `predecessor` for the group that a ReInit has
        ended or a branch comes from (sections 11.2 and 11.3). `verify_many` may be a thread pool's `map`:
        then the signatures of a large tree are checked in parallel. Raises KeyUnavailable when the Welcome is
        not for this key package, StateError when the bundle is not one, otherwise any error of a bad Welcome.
        """
        check_bundle(bundle)
        message = decode_message(welcome)
        if not isinstance(message, Welcome):
            raise ValidationError("message_kind", f"a {type(message).__name__} where a Welcome is due")
        state = join(
            message,
            bundle,
            identity,
            psks if predecessor is None else predecessor._lookup_with(psks),
            ratchet_tree=ratchet_tree,
            predecessor=None if predecessor is None else predecessor._state,
            now=now,
            verify_many=verify_many,
        )
        return cls(
            state,
            identity=identity,
            random=random,
            psks=psks,
            past_epochs=past_epochs,
            past_lifetime=past_lifetime,
        )

    @classmethod
    def join_external(
        cls,
        group_info: bytes,
        signer: SignatureKey,
        credential: Credential,
        *,
        identity: AuthenticationService,
        now: float,
        ratchet_tree: bytes | None = None,
        verify_many: VerifyMany = map,
        random: Random = urandom,
        psks: PskLookup = no_psks,
        past_epochs: int = PAST_EPOCHS,
        past_lifetime: float = PAST_LIFETIME,
    ) -> tuple[Group, bytes]:
        """Join by a commit of our own, given a GroupInfo (section 12.4.3.2): (the group, the commit to send).

        If the members refuse the commit, or take another one first, forget the group and begin again. Raises
        as `join` does for a bad GroupInfo.
        """
        info = decode_message(group_info)
        if not isinstance(info, GroupInfo):
            raise ValidationError("message_kind", f"a {type(info).__name__} where a GroupInfo is due")
        use = suite(info.group_context.cipher_suite)
        tree, roster = accept_tree(
            info, use, identity, ratchet_tree=ratchet_tree, now=now, verify_many=verify_many
        )
        leaf = partial(
            LeafNode.sign,
            use,
            signer,
            credential=credential,
            capabilities=CAPABILITIES,
            source=LeafNodeSource.COMMIT,
        )
        commit, state = make_external_commit(
            info, tree, roster, signer, leaf, identity, psks, random=random, now=now
        )
        group = cls(
            state,
            identity=identity,
            random=random,
            psks=psks,
            past_epochs=past_epochs,
            past_lifetime=past_lifetime,
        )
        return group, commit

    @classmethod
    def load(
        cls,
        snapshot: bytes,
        *,
        identity: AuthenticationService,
        random: Random = urandom,
        psks: PskLookup = no_psks,
    ) -> Group:
        """Go on with a group saved by `snapshot`. Raises DecodeError or ValidationError."""
        saved = GroupSnapshot.decode(snapshot)
        group = cls(saved.state, identity=identity, random=random, psks=psks)
        group._past, group._proposals = saved.past, saved.proposals
        return group

    def snapshot(self) -> Secret:
        """The group with all its secrets, but for a pending commit. The same state gives the same bytes.

        Write it before a ciphertext leaves: a group restored from an older one would use a key twice.
        """
        return GroupSnapshot(self._state, self._past, self._proposals).encode()

    # Reading the state

    @property
    def pending(self) -> PendingCommit | None:
        """The commit made here that waits to be applied."""
        return self._pending

    def resumption_psk(self, epoch: int) -> Secret:
        """The resumption PSK of this or a recent epoch (section 8.6). Raises KeyUnavailable."""
        try:
            return self._past.resumption[epoch]
        except KeyError:
            raise KeyUnavailable("resumption PSK", f"epoch {epoch} is not kept") from None

    # Application messages

    def encrypt(self, plaintext: bytes, authenticated_data: bytes = b"") -> bytes:
        """Protect application data as a PrivateMessage; `authenticated_data` is bound to it, readable by all.

        Raises StateError once the group has been ended by a ReInit.
        """
        state = self._state
        if state.reinit is not None:
            self._refuse_after_reinit()
        return state.keys.encrypt(
            state.own_leaf, state.signer, plaintext, authenticated_data, self._random(REUSE_GUARD)
        )

    def decrypt(
        self,
        message: bytes,
        *,
        now: float | None = None,
        judge: Callable[[Decrypted], None] | None = None,
    ) -> Decrypted:
        """Open an application message of this or one of the last few epochs, once.

        `judge` is shown what was opened and is proved, before the key is used up: if it raises, the message
        counts as not opened, and can be again.

        `now`, in Unix seconds, says which epochs are too old; without it what the last call with a time left
        is still read. The result tells the sender's leaf, and its credential and identity as of that epoch.
        Raises KeyUnavailable for one read before or too old, VerificationError for a forged one, DecodeError
        or ValidationError for one that is no application message of another member.
        """
        decoded = _application_message(message)
        if now is not None:
            self.expire(now)
        return self._decrypt(decoded, judge)

    def sender(self, message: bytes, *, now: float | None = None) -> int:
        """The leaf that an application message names as its sender, also of one that was opened before.

        It proves nothing: whoever was in that epoch can have written it. Raises as `decrypt` does.
        """
        decoded = _application_message(message)
        if now is not None:
            self.expire(now)
        return self._keys_for(decoded).sender(decoded)

    def _decrypt(
        self, message: PrivateMessage, judge: Callable[[Decrypted], None] | None = None
    ) -> Decrypted:
        return self._keys_for(message).decrypt(message, self._state.own_leaf, judge)

    def _keys_for(self, message: PrivateMessage) -> EpochKeys:
        state, epoch = self._state, message.epoch
        self._check_group(message.group_id)
        return state.keys if epoch == state.context.epoch else self._past.find(epoch)

    def expire(self, now: float) -> None:
        """Forget the keys of epochs that ended too long ago; every call that is given a time does so."""
        self._past.expire(now)

    # Proposals and commits

    @property
    def proposals(self) -> tuple[Proposed, ...]:
        """What has been proposed in this epoch, in the order in which it came."""
        return tuple(self._proposals.proposals.values())

    def drop_proposal(self, reference: bytes) -> None:
        """Forget a proposal: no commit of ours will hold it, nor can we follow one that does.

        Raises StateError when there is none with this reference.
        """
        self._proposals.drop(reference)

    def propose(self, proposal: Proposal, *, now: float) -> bytes:
        """Say a proposal to the group, as a PublicMessage; for our own leaf use `propose_update`.

        Raises StateError when too many are pending or the group has ended, ValidationError when no commit of
        this epoch could hold it.
        """
        state, own = self._state, Sender.member(self.own_leaf)
        self._refuse_after_reinit()
        validation.sender_may_propose(proposal, own)
        view = GroupView(self.suite, state.context, state.tree, state.roster, None)
        Application(view, self._identity, now, committing=True).apply(Proposed(proposal, own))
        message, _ = self._propose(proposal)
        return message

    def propose_update(self, *, credential: Credential | None = None) -> bytes:
        """Propose a fresh encryption key for our leaf, perhaps under a renewed credential (12.1.2)."""
        state = self._state
        pair = self.suite.generate_key_pair(self._random)
        before = state.own_leaf_node
        leaf = LeafNode.sign(
            self.suite,
            state.signer,
            encryption_key=pair.public,
            credential=credential or before.credential,
            capabilities=before.capabilities,
            extensions=before.extensions,
            source=LeafNodeSource.UPDATE,
            position=leaf_position(self.group_id, self.own_leaf),
        )
        message, reference = self._propose(Update(leaf))
        self._proposals.own_updates[reference] = pair
        return message

    def _propose(self, proposal: Proposal) -> tuple[bytes, bytes]:
        state = self._state
        self._refuse_after_reinit()
        self._proposals.check_room()
        framed = FramedContent.build(
            group_id=self.group_id, epoch=self.epoch, sender=Sender.member(self.own_leaf), body=proposal
        )
        content = AuthenticatedContent.sign(
            self.suite, state.signer, WireFormat.PUBLIC_MESSAGE, framed, state.context.encoded
        )
        reference = self._proposals.add(self.suite, content).reference
        assert reference is not None
        protected = PublicMessage.protect(
            self.suite, content, state.secrets.membership, state.context.encoded
        )
        return encode_message(protected), reference

    def commit(
        self,
        *,
        now: float,
        add: Sequence[bytes] = (),
        remove: Sequence[int] = (),
        proposals: Sequence[Proposal] = (),
        path: bool = False,
        credential: Credential | None = None,
    ) -> PendingCommit:
        """Make a commit; nothing changes until `apply_pending`.

        It holds pending proposals by reference, and by value: Adds of the key packages `add` (MLSMessages),
        Removes of the leaves `remove`, and `proposals`. Pending ones that are invalid or conflict with others
        are left out (section 12.2); `PendingCommit.left_out` tells which. It has a path when one is needed
        (section 17.4), when `path` asks for fresh keys, or when `credential` is to replace ours; the
        signature key stays.

        Raises StateError when another commit is pending or the group has ended, otherwise as `process` does.
        """
        state = self._state
        self._refuse_after_reinit()
        if self.epoch == validation.MAX_EPOCH:
            raise StateError("this is the last epoch that has a number; found another group")
        if self._pending is not None:
            raise StateError("a commit is pending; apply or discard it first")
        own = Sender.member(self.own_leaf)
        chosen = [
            *(Proposed(Remove(leaf), own) for leaf in remove),
            *(Proposed(Add(_key_package(data)), own) for data in add),
            *(Proposed(proposal, own) for proposal in proposals),
        ]
        self._pending = make_commit(
            state,
            self.proposals,
            chosen,
            self._identity,
            self._lookup,
            random=self._random,
            now=now,
            with_path=path,
            credential=credential,
        )
        return self._pending

    def apply_pending(self, *, now: float | None = None) -> CommitApplied:
        """Go into the epoch of our own pending commit. Raises StateError when there is none.

        The epoch before ends `now`, in Unix seconds; when the commit was made, if that is not given.
        """
        if self._pending is None:
            raise StateError("no commit is pending; make one with commit()")
        pending = self._pending
        self._advance(pending.state, pending.effect.removed, pending.made if now is None else now)
        return pending.effect

    def discard_pending(self) -> None:
        """Forget our own pending commit, if there is one."""
        self._pending = None

    def process(self, message: bytes, *, now: float) -> Event:
        """Take any message for the group: application data, a proposal or a commit, public or private.

        A commit takes effect only after its every check has passed; one of ours that is pending is discarded
        then. Our own messages are refused; our commits take effect by `apply_pending`.

        Raises DecodeError, VerificationError, ValidationError or KeyUnavailable; nothing has changed then.
        What the identity policy raises besides (KeysMissing) passes through; the call can be repeated.
        """
        decoded = decode_message(message)
        state = self._state
        self.expire(now)
        if isinstance(decoded, PrivateMessage):
            if decoded.content_type is ContentType.APPLICATION:
                return self._decrypt(decoded)
            self._check_place(decoded.group_id, decoded.epoch)
            content, ratchet, key = state.keys.unprotect(decoded, self.own_leaf)
            event = self._handle(content, now)
            ratchet.use(self.suite, key)
            return event
        if not isinstance(decoded, PublicMessage):
            raise ValidationError("message_kind", f"a {type(decoded).__name__} is not for a group's members")
        content, framed = decoded.content, decoded.content.content
        self._check_place(framed.group_id, framed.epoch)
        if framed.sender == Sender.member(self.own_leaf):
            raise ValidationError("own_message", "a message that this member sent itself")
        decoded.verify_membership(self.suite, state.secrets.membership, state.context.encoded)
        key_of_sender = signature_key_of(state, framed)
        content.verify(self.suite, key_of_sender, state.context.encoded)
        return self._handle(content, now)

    def _handle(self, content: AuthenticatedContent, now: float) -> Event:
        """A proposal or commit whose sender is proved."""
        framed = content.content
        if not isinstance(framed.body, Commit):
            assert not isinstance(framed.body, bytes)
            return self._remember(framed.body, content)
        if self._state.reinit is not None:
            raise ValidationError("reinit", "a commit in a group that a ReInit has ended")
        outcome = process_commit(
            self._state,
            content,
            self._proposals.proposals,
            self._proposals.own_updates,
            self._identity,
            self._lookup,
            now=now,
        )
        if isinstance(outcome, Removed):
            return outcome
        state, effect = outcome
        self._advance(state, effect.removed, now)
        return effect

    def _remember(self, proposal: Proposal, content: AuthenticatedContent) -> ProposalReceived:
        sender = content.content.sender
        validation.sender_may_propose(proposal, sender)
        reference = self._proposals.add(self.suite, content).reference
        assert reference is not None
        return ProposalReceived(proposal, sender, reference)

    def _advance(self, state: GroupState, removed: Sequence[int], now: float) -> None:
        """Swap the new epoch in; keep what late messages and resumption still need of the old one."""
        self._past.end(self._state.keys, removed, now)
        self._past.begin(state.context.epoch, state.secrets.resumption_psk)
        self._proposals = PendingProposals()
        self._pending = None
        self._state = state

    def _lookup(self, psk: PreSharedKeyId) -> bytes | None:
        return self._lookup_with(self._psks)(psk)

    def _lookup_with(self, psks: PskLookup) -> PskLookup:
        """A store that knows this group's resumption PSKs, and all others from `psks`."""

        def lookup(psk: PreSharedKeyId) -> bytes | None:
            if psk.type is PskType.RESUMPTION and psk.group_id == self.group_id:
                return self._past.resumption.get(psk.epoch)
            return psks(psk)

        return lookup

    def _check_group(self, group_id: bytes) -> None:
        if group_id != self.group_id:
            raise ValidationError("group_id", "a message for another group")

    def _check_place(self, group_id: bytes, epoch: int) -> None:
        self._check_group(group_id)
        if epoch != self.epoch:
            raise ValidationError("epoch", f"a handshake message of epoch {epoch} in epoch {self.epoch}")

    def _refuse_after_reinit(self) -> None:
        if self._state.reinit is not None:
            raise StateError("a ReInit has ended this group; go on in the one that follows it")


def _application_message(data: bytes) -> PrivateMessage:
    message = decode_message(data)
    if not isinstance(message, PrivateMessage) or message.content_type is not ContentType.APPLICATION:
        raise ValidationError("message_kind", f"a {type(message).__name__} where application data is due")
    return message


def _key_package(data: bytes) -> KeyPackage:
    message = decode_message(data)
    if not isinstance(message, KeyPackage):
        raise ValidationError("message_kind", f"a {type(message).__name__} where a key package is due")
    return message
