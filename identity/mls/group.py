"""A group, as one member of it uses it (RFC 9420, 11 and 12).

`Group` keeps the state of the current epoch, the message keys of a few past ones, and what has been said in
this epoch. It has no clock and no randomness of its own: both are arguments. Whatever raises an error here
has changed nothing; in particular a bad message leaves the group able to take the right one.

Whoever stores a group writes `snapshot()` before a ciphertext leaves, or a restart repeats key and nonce.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from os import urandom

from identity.mls import validation
from identity.mls.cipher_suite import CipherSuite, Random, suite
from identity.mls.codec import Reader, decode_whole
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
from identity.mls.credential import Credential, IdentityProvider
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
from identity.mls.hpke import HpkeKeyPair
from identity.mls.leaf_node import (
    Extension,
    Extensions,
    ExtensionType,
    LeafNode,
    LeafNodeSource,
    find_extension,
    leaf_position,
)
from identity.mls.messages import Commit, GroupInfo, Welcome
from identity.mls.private_message import Decrypted, EpochKeys
from identity.mls.proposal import (
    Add,
    KeyPackage,
    PreSharedKeyId,
    Proposal,
    PskType,
    ReInit,
    Remove,
    Update,
)
from identity.mls.proposal_list import Proposed, select
from identity.mls.secret import Secret
from identity.mls.signatures import SignatureKey
from identity.mls.snapshot import Snapshot
from identity.mls.validation import VerifyMany
from identity.mls.welcome import (
    CAPABILITIES,
    KeyPackageBundle,
    accept_tree,
    check_bundle,
    group_info,
    join,
)

PAST_EPOCHS = 3
"""For how many past epochs late application messages can still be read, if nothing else is asked for."""

MAX_PROPOSALS = 1024
"""How many proposals of an epoch are kept for a commit to refer to; further ones are refused."""

MAX_PROPOSAL = 64 * 1024
"""The longest proposal that is kept, in bytes; an Add is a credential and under 1 KiB more."""

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


class Group:
    """One member's view of one group. Make it with `create`, `join`, `join_external` or `load`."""

    __slots__ = (
        "_identity",
        "_own_updates",
        "_past",
        "_past_epochs",
        "_pending",
        "_proposals",
        "_psks",
        "_random",
        "_resumption",
        "_state",
    )

    def __init__(
        self,
        state: GroupState,
        *,
        identity: IdentityProvider,
        random: Random,
        psks: PskLookup,
        past_epochs: int = PAST_EPOCHS,
    ) -> None:
        self._state = state
        self._identity = identity
        self._random = random
        self._psks = psks
        self._pending: PendingCommit | None = None
        self._past: dict[int, EpochKeys] = {}
        self._past_epochs = past_epochs
        self._resumption = {state.context.epoch: state.secrets.resumption_psk}
        self._proposals: dict[bytes, Proposed] = {}
        self._own_updates: dict[bytes, HpkeKeyPair] = {}

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
        identity: IdentityProvider,
        now: float,
        group_id: bytes | None = None,
        extensions: Extensions = (),
        random: Random = urandom,
        psks: PskLookup = no_psks,
        past_epochs: int = PAST_EPOCHS,
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
        return cls(state, identity=identity, random=random, psks=psks, past_epochs=past_epochs)

    @classmethod
    def join(
        cls,
        welcome: bytes,
        bundle: KeyPackageBundle,
        *,
        identity: IdentityProvider,
        now: float,
        ratchet_tree: bytes | None = None,
        verify_many: VerifyMany = map,
        random: Random = urandom,
        psks: PskLookup = no_psks,
        past_epochs: int = PAST_EPOCHS,
    ) -> Group:
        """Join by a Welcome, given as an MLSMessage (section 12.4.3.1).

        `ratchet_tree` is for a Welcome that comes without it. `verify_many` may be a thread pool's `map`:
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
            psks,
            ratchet_tree=ratchet_tree,
            now=now,
            verify_many=verify_many,
        )
        return cls(state, identity=identity, random=random, psks=psks, past_epochs=past_epochs)

    @classmethod
    def join_external(
        cls,
        group_info: bytes,
        signer: SignatureKey,
        credential: Credential,
        *,
        identity: IdentityProvider,
        now: float,
        ratchet_tree: bytes | None = None,
        verify_many: VerifyMany = map,
        random: Random = urandom,
        psks: PskLookup = no_psks,
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
        return cls(state, identity=identity, random=random, psks=psks), commit

    @classmethod
    def load(
        cls,
        snapshot: bytes,
        *,
        identity: IdentityProvider,
        random: Random = urandom,
        psks: PskLookup = no_psks,
    ) -> Group:
        """Go on with a group saved by `snapshot`. Raises DecodeError or ValidationError."""
        saved = Snapshot.decode(snapshot)
        group = cls(saved.state, identity=identity, random=random, psks=psks)
        group._past = {keys.epoch: keys for keys in saved.past}
        group._resumption = dict(saved.resumption)
        group._proposals = {p.reference: p for p in saved.proposals if p.reference is not None}
        group._own_updates = {
            reference: group.suite.hpke.load_key_pair(private) for reference, private in saved.own_updates
        }
        return group

    def snapshot(self) -> Secret:
        """The group with all its secrets, but for a pending commit. The same state gives the same bytes.

        Write it before a ciphertext leaves: a group restored from an older one would use a key twice.
        """
        return Snapshot(
            self._state,
            tuple(self._past.values()),
            tuple(self._resumption.items()),
            tuple(self._proposals.values()),
            tuple((reference, pair.private_bytes()) for reference, pair in self._own_updates.items()),
        ).encode()

    # Reading the state

    @property
    def suite(self) -> CipherSuite:
        """The cipher suite."""
        return self._state.suite

    @property
    def group_id(self) -> bytes:
        """The group's id."""
        return self._state.context.group_id

    @property
    def epoch(self) -> int:
        """The number of the current epoch."""
        return self._state.context.epoch

    @property
    def own_leaf(self) -> int:
        """Our leaf index."""
        return self._state.own_leaf

    @property
    def members(self) -> dict[int, bytes]:
        """The identity of every member by leaf index, in leaf order."""
        return dict(sorted(self._state.roster.members.items()))

    @property
    def extensions(self) -> Extensions:
        """The extensions of the group context."""
        return self._state.context.extensions

    @property
    def reinit(self) -> ReInit | None:
        """The parameters of the group that follows this one, once a commit has said so (section 11.2)."""
        return self._state.reinit

    @property
    def epoch_authenticator(self) -> Secret:
        """The same for all members of an epoch and for nobody else: compare it out of band (section 8.7)."""
        return self._state.secrets.epoch_authenticator

    @property
    def pending(self) -> PendingCommit | None:
        """The commit made here that waits to be applied."""
        return self._pending

    def leaf_of(self, identity: bytes) -> int | None:
        """The leaf index of a member, or `None`."""
        return self._state.roster.leaf_of(identity)

    def leaf_node(self, leaf: int) -> LeafNode | None:
        """The leaf node of a member; `None` when nobody is there."""
        return self._state.tree.leaf(leaf)

    def export(self, label: bytes, context: bytes, length: int) -> Secret:
        """A secret for another protocol, the same for all members of the epoch (section 8.5)."""
        return self._state.secrets.export(self.suite, label, context, length)

    def resumption_psk(self, epoch: int) -> Secret:
        """The resumption PSK of this or a recent epoch (section 8.6). Raises KeyUnavailable."""
        try:
            return self._resumption[epoch]
        except KeyError:
            raise KeyUnavailable("resumption PSK", f"epoch {epoch} is not kept") from None

    def group_info(self) -> bytes:
        """A GroupInfo, as an MLSMessage, by which others can join with a commit of their own (12.4.3.2)."""
        external_pub = self._state.secrets.external_key_pair(self.suite).public
        extension = Extension(ExtensionType.EXTERNAL_PUB, external_pub)
        return encode_message(group_info(self._state, (extension,)))

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

    def decrypt(self, message: bytes) -> Decrypted:
        """Open an application message of this or one of the last few epochs, once.

        Raises KeyUnavailable for one read before or too old, VerificationError for a forged one, DecodeError
        or ValidationError for one that is no application message of another member.
        """
        decoded = decode_message(message)
        if not isinstance(decoded, PrivateMessage) or decoded.content_type is not ContentType.APPLICATION:
            raise ValidationError("message_kind", f"a {type(decoded).__name__} where application data is due")
        return self._decrypt(decoded)

    def _decrypt(self, message: PrivateMessage) -> Decrypted:
        state = self._state
        self._check_group(message.group_id)
        if message.epoch == state.context.epoch:
            keys = state.keys
        elif message.epoch in self._past:
            keys = self._past[message.epoch]
        else:
            kept = f"{self._past_epochs} past ones are kept"
            raise KeyUnavailable("epoch", f"a message of epoch {message.epoch} in epoch {self.epoch}; {kept}")
        return keys.decrypt(message, state.own_leaf)

    # Proposals and commits

    def propose(self, proposal: Proposal) -> bytes:
        """Say a proposal to the group, as a PublicMessage; for our own leaf use `propose_update`.

        Raises StateError when too many are pending or the group has ended.
        """
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
        self._own_updates[reference] = pair
        return message

    def _propose(self, proposal: Proposal) -> tuple[bytes, bytes]:
        state = self._state
        self._refuse_after_reinit()
        if len(self._proposals) >= MAX_PROPOSALS:
            raise StateError(f"{MAX_PROPOSALS} proposals are pending; commit them first")
        framed = FramedContent.build(
            group_id=self.group_id, epoch=self.epoch, sender=Sender.member(self.own_leaf), body=proposal
        )
        content = AuthenticatedContent.sign(
            self.suite, state.signer, WireFormat.PUBLIC_MESSAGE, framed, state.context.encoded
        )
        reference = content.proposal_reference(self.suite)
        self._proposals[reference] = Proposed(proposal, framed.sender, reference)
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
        Removes of the leaves `remove`, and `proposals`. It has a path when one is needed (section 17.4), when
        `path` asks for fresh keys, or when `credential` is to replace ours; the signature key stays.

        Raises StateError when another commit is pending or the group has ended, otherwise as `process` does.
        """
        state = self._state
        self._refuse_after_reinit()
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
            select(list(self._proposals.values()), chosen, self.own_leaf),
            self._identity,
            self._lookup,
            random=self._random,
            now=now,
            with_path=path,
            credential=credential,
        )
        return self._pending

    def apply_pending(self) -> CommitApplied:
        """Go into the epoch of our own pending commit. Raises StateError when there is none."""
        if self._pending is None:
            raise StateError("no commit is pending; make one with commit()")
        pending = self._pending
        self._advance(pending.state)
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
        if isinstance(decoded, PrivateMessage):
            if decoded.content_type is ContentType.APPLICATION:
                return self._decrypt(decoded)
            self._check_place(decoded.group_id, decoded.epoch)
            content, ratchet, key = state.keys.unprotect(decoded, self.own_leaf)
            event = self._handle(content, now)
            ratchet.use(key)
            return event
        if not isinstance(decoded, PublicMessage):
            raise ValidationError("message_kind", f"a {type(decoded).__name__} is not for a group's members")
        content, framed = decoded.content, decoded.content.content
        self._check_place(framed.group_id, framed.epoch)
        if framed.sender == Sender.member(self.own_leaf):
            raise ValidationError("own_message", "a message that this member sent itself")
        decoded.verify_membership(self.suite, state.secrets.membership, state.context.encoded)
        key_of_sender = signature_key_of(state, framed, self._external_senders())
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
            self._proposals,
            self._own_updates,
            self._identity,
            self._lookup,
            now=now,
        )
        if isinstance(outcome, Removed):
            return outcome
        state, effect = outcome
        self._advance(state)
        return effect

    def _remember(self, proposal: Proposal, content: AuthenticatedContent) -> ProposalReceived:
        sender = content.content.sender
        validation.sender_may_propose(proposal, sender)
        size = len(content.content.encoded)
        if size > MAX_PROPOSAL:
            raise ValidationError(
                "pending_proposals", f"a proposal of {size} bytes, more than {MAX_PROPOSAL}"
            )
        reference = content.proposal_reference(self.suite)
        if reference not in self._proposals and len(self._proposals) >= MAX_PROPOSALS:
            raise ValidationError("pending_proposals", f"more than {MAX_PROPOSALS} proposals in one epoch")
        self._proposals[reference] = Proposed(proposal, sender, reference)
        return ProposalReceived(proposal, sender, reference)

    def _advance(self, state: GroupState) -> None:
        """Swap the new epoch in; keep what late messages and resumption still need of the old one."""
        before = self._state
        self._past[before.context.epoch] = before.keys
        self._resumption[state.context.epoch] = state.secrets.resumption_psk
        while len(self._past) > self._past_epochs:
            oldest = next(iter(self._past))
            del self._past[oldest], self._resumption[oldest]
        self._proposals = {}
        self._own_updates = {}
        self._pending = None
        self._state = state

    def _lookup(self, psk: PreSharedKeyId) -> bytes | None:
        if psk.type is PskType.RESUMPTION and psk.group_id == self.group_id:
            return self._resumption.get(psk.epoch)
        return self._psks(psk)

    def _external_senders(self) -> list[bytes]:
        data = find_extension(self.extensions, ExtensionType.EXTERNAL_SENDERS)
        if data is None:
            return []
        senders = decode_whole(data, lambda r: r.vector(_external_sender))
        return list(senders)

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


def _external_sender(reader: Reader) -> bytes:
    """ExternalSender (section 12.1.8.1): its signature key."""
    key = reader.opaque()
    Credential.decode(reader)
    return key


def _key_package(data: bytes) -> KeyPackage:
    message = decode_message(data)
    if not isinstance(message, KeyPackage):
        raise ValidationError("message_kind", f"a {type(message).__name__} where a key package is due")
    return message
