"""What changes of the membership fail with, in the words that users match on."""

from __future__ import annotations

from actors.errors import (
    HandshakeFailed,
    NotModerator,
    ParticipantDisconnected,
    SessionError,
)
from actors.messages.session import Invite, RemoveMember
from actors.names import Name
from actors.session.conversation import Conversation
from actors.session.encryption import Phase
from actors.session.membership.tasks import AddTask, DropTask, RemoveTask
from identity.errors import ConfigError, SlimError


def not_moderator(conversation: Conversation, event: Invite | RemoveMember, why: str) -> NotModerator:
    """An operation that is not ours to do."""
    verb = "invite participant to" if isinstance(event, Invite) else "remove participant from"
    return NotModerator(f"cannot {verb} {why}", session_id=conversation.session_id)


def failed_to_add(conversation: Conversation, task: AddTask, cause: str) -> HandshakeFailed:
    """Nobody could be found, or did not join, or was not welcomed by all."""
    session_id = conversation.session_id
    cause += conversation.senders.hints.behind(task.name)
    if not conversation.group:
        return HandshakeFailed(f"session handshake failed: {cause}", session_id=session_id)
    hint = ""
    if not conversation.config.reliable:
        hint = "; members of SLIM's own implementation cannot join a group without timeout and max_retries"
    return HandshakeFailed(
        f"failed to add a participant to the group: {task.name.short}: {cause}{hint}", session_id=session_id
    )


def failed_to_remove(conversation: Conversation, task: RemoveTask | DropTask, cause: str) -> SessionError:
    """The group could not be changed, or not everybody was told."""
    return SessionError(
        f"failed to remove participant from session: {task.name.short}: {cause}",
        session_id=conversation.session_id,
    )


def is_final(phase: Phase, error: SlimError) -> bool:
    """Whether an operation of MLS failed by what our application is set up with: it reads that as it is."""
    return phase is Phase.CREDENTIAL and isinstance(error, ConfigError)


def in_words(phase: Phase, error: SlimError) -> str:
    """Why an operation of MLS failed."""
    return f"no credential for MLS: {error}" if phase is Phase.CREDENTIAL else str(error)


def disconnected(conversation: Conversation, name: Name, cause: str) -> ParticipantDisconnected:
    """Somebody is gone without being asked to go."""
    return ParticipantDisconnected(str(name), cause, session_id=conversation.session_id)
