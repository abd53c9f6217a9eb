"""A session core that can be kept outside of its process, and gone on with in another one: that of a group
which we lead. What is kept of it stands in `membership/kept.py`."""

from __future__ import annotations

from typing import cast

from actors.names import Name
from actors.session.conversation import Conversation, Setting
from actors.session.core import SessionCore
from actors.session.crypto import KeepableCrypto
from actors.session.membership.kept import KeptModerator, KeptSession
from actors.session.membership.moderator import Moderator
from actors.session.membership.tasks import AskedByApplication, AskedByNobody
from actors.session.sender import DataSender


class KeepableSession(SessionCore):
    """The core of a group that we lead; `resume` is called before BeginSession."""

    __slots__ = ("_moderator",)

    def __init__(self, conversation: Conversation, moderator: Moderator) -> None:
        super().__init__(conversation, moderator)
        self._moderator = moderator

    @property
    def sender(self) -> DataSender:
        """The sending half."""
        return self._data.sender

    def kept(self) -> KeptModerator:
        """The membership as it is now."""
        return self._moderator.kept()

    @property
    def crypto(self) -> KeepableCrypto | None:
        """The MLS group; None without MLS."""
        encryption = self._conversation.encryption
        return None if encryption is None else cast("KeepableCrypto", encryption.crypto)

    def resume(self, kept: KeptSession) -> None:
        """Take up what another process began. Raises CryptoError for what cannot be a group."""
        if kept.group is not None and self.crypto is not None:
            self.crypto.resume(kept.group, kept.generation)
        self._moderator.resume(kept)


def keepable(setting: Setting, destination: Name, handle: int | None, now: float) -> KeepableSession:
    """The core of a new group; BeginSession starts it. `handle` completes when it stands."""
    asked_by = AskedByApplication(handle) if handle is not None else AskedByNobody()
    conversation = Conversation(setting, destination)
    return KeepableSession(conversation, Moderator(conversation, asked_by, now))
