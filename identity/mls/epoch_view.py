"""What a member can tell of the current epoch of its group."""

from __future__ import annotations

from identity.mls.cipher_suite import CipherSuite
from identity.mls.errors import StateError
from identity.mls.framing import encode_message
from identity.mls.group_state import GroupState
from identity.mls.leaf_node import Extension, Extensions, ExtensionType, LeafNode
from identity.mls.proposal import ReInit
from identity.mls.secret import Secret
from identity.mls.signatures import SignatureKey
from identity.mls.welcome import group_info

EXPORT_BLOCKS = 255
"""How many blocks of the hash HKDF-Expand can give (RFC 5869)."""


class EpochView:
    """The readable side of `Group`."""

    __slots__ = ("_state",)

    def __init__(self, state: GroupState) -> None:
        self._state = state

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

    def leaf_of(self, identity: bytes) -> int | None:
        """The leaf index of a member, or `None`."""
        return self._state.roster.leaf_of(identity)

    def leaf_node(self, leaf: int) -> LeafNode | None:
        """The leaf node of a member; `None` when nobody is there."""
        return self._state.tree.leaf(leaf)

    def export(self, label: bytes, context: bytes, length: int) -> Secret:
        """A secret for another protocol, the same for all members of the epoch (section 8.5).

        Raises StateError for a length that cannot be.
        """
        most = min(EXPORT_BLOCKS * self.suite.hash_length, 0xFFFF)
        if not 0 <= length <= most:
            raise StateError(f"{length} bytes cannot be exported, from 0 to {most} can")
        return self._state.secrets.export(self.suite, label, context, length)

    def group_info(self) -> bytes:
        """A GroupInfo, as an MLSMessage, by which others can join with a commit of their own (12.4.3.2)."""
        external_pub = self._state.secrets.external_key_pair(self.suite).public
        extension = Extension(ExtensionType.EXTERNAL_PUB, external_pub)
        return encode_message(group_info(self._state, (extension,)))

    @property
    def signer(self) -> SignatureKey:
        """Our signature key, the secret half included."""
        return self._state.signer

    @property
    def generation(self) -> int:
        """That of our next application message in this epoch."""
        return self._state.keys.secret_tree.leaf(self.own_leaf).application.generation

    def skip_to(self, generation: int) -> None:
        """Use no generation of ours below this one in this epoch: they may have been used already.

        For a group restored from a snapshot that is older than its last message. Raises KeyUnavailable past
        the last generation.
        """
        ratchet = self._state.keys.secret_tree.leaf(self.own_leaf).application
        while ratchet.generation < generation:
            ratchet.use(self.suite, ratchet.find(self.suite, ratchet.generation))
