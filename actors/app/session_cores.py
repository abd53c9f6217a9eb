"""The cores of an application's sessions, as it opens them and as it is invited."""

from __future__ import annotations

from collections.abc import Callable

from actors.app.collaborators import Collaborators
from actors.app.effects import Invitation
from actors.app.peer_generations import PeerGenerations
from actors.messages.session import AppSettings, OpenSession, SessionConfig
from actors.messages.wire import SessionKind
from actors.names import Name
from actors.session.actor import SessionActor
from actors.session.conversation import Setting
from actors.session.core import SessionCore, controlled_moderator, moderator, participant
from actors.session.counts import SessionCounts
from actors.session.keeping import KeepableSession, keepable
from actors.session.senders import Senders
from identity.errors import ConfigError

_GROUP = SessionKind.MULTICAST


class SessionCores:
    """Makes them for the application `local` (its full name)."""

    def __init__(
        self, local: Name, collaborators: Collaborators, settings: AppSettings, senders: Senders
    ) -> None:
        self._local = local
        self._senders = senders
        self._counts = collaborators.telemetry.shared(SessionCounts)
        self._with = collaborators
        self._settings = settings
        self._peer_generation = PeerGenerations(collaborators.verifier, collaborators.wall)

    def opened(self, session_id: int, asked: OpenSession) -> SessionCore:
        """The initiator's. Raises ConfigError when MLS is wanted and cannot be had."""
        if asked.config.mls and self._with.crypto is None:
            raise ConfigError("mls_enabled: this application is not set up for MLS", field="mls_enabled")
        destination = asked.destination
        if asked.config.session_type is _GROUP:
            destination = destination.without_id()
        setting = self._setting(self._local, session_id, asked.config)
        if (leading := self._with.leading.get(destination)) is not None:
            core = keepable(setting, destination, asked.handle, self._with.clock())
            if (kept := leading.journal.book.group_to_resume(leading.connection())) is not None:
                core.resume(kept)
            return core
        return moderator(setting, destination, asked.handle, self._with.clock())

    def session_id(self, asked: OpenSession) -> int | None:
        """That of the group to go on with, if there is one."""
        leading = self._with.leading.get(asked.destination.without_id())
        opened = leading.journal.book.opened if leading is not None else None
        return None if opened is None else opened.session_id

    def shell(self, core: SessionCore) -> Callable[..., SessionActor]:
        """What makes the actor around a core."""
        leading = self._with.leading.get(core.destination)
        if leading is not None and isinstance(core, KeepableSession):
            return leading.shell(core)
        return SessionActor

    def invited(self, invitation: Invitation) -> SessionCore:
        """The invited side's, or that of the leader that a controller wants us to be."""
        message, config, destination, leads, _ = invitation
        # Under the name that was invited, which need not be the first one of this application.
        local = message.destination.of_instance(self._local.instance)
        setting = self._setting(local, message.session_id, config)
        make = controlled_moderator if leads else participant
        return make(setting, destination, message, self._with.clock())

    def _setting(self, local: Name, session_id: int, config: SessionConfig) -> Setting:
        crypto = self._with.crypto() if config.mls and self._with.crypto is not None else None
        return Setting(
            local,
            session_id,
            config,
            self._settings,
            self._with.draw,
            self._peer_generation,
            crypto,
            self._counts,
            self._senders,
        )
