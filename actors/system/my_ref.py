"""What Thespian's Actor calls on `_myRef` that is a matter of the whole system, or of none."""

from __future__ import annotations

from typing import Any

from thespian.actors import Actor, ActorAddress

from actors.system.address import Address
from actors.system.errors import NotOnThisBase
from actors.system.host import Host


class MyRef:
    """The part of a cell that knows nothing of its own actor."""

    __slots__ = ()

    system: Host

    def createActor(
        self,
        actor_class: type[Actor] | str,
        requirements: Any = None,
        global_name: str | None = None,
        source_hash: str | None = None,
    ) -> Address:
        return self.system.create_child(self, actor_class, requirements, global_name, source_hash)

    def handleDeadLetters(self, _address: ActorAddress, enable: bool) -> None:
        self.system.handle_dead_letters(self, enable=enable)

    def notifyOnSystemRegistrationChanges(self, _address: ActorAddress, _enable: bool) -> None:
        """Nothing to notify of: this system is alone, as simpleSystemBase is."""

    def updateCapability(self, name: str, value: Any = None) -> None:
        self.system.update_capability(name, value)

    def actorSystemShutdown(self) -> None:
        self.system.stop()

    def loadActorSource(self, _file: object) -> str:
        raise NotOnThisBase("loadActorSource", "import the module instead")

    def unloadActorSource(self, _source_hash: str) -> None:
        raise NotOnThisBase("unloadActorSource", "nothing can have been loaded")

    def registerSourceAuthority(self, _address: ActorAddress) -> None:
        raise NotOnThisBase("registerSourceAuthority", "no source is ever loaded")

    def notifyOnSourceAvailability(self, _address: ActorAddress, _enable: bool) -> None:
        raise NotOnThisBase("notifyOnSourceAvailability", "no source is ever loaded")

    def preRegisterRemoteSystem(self, _address: object, _capabilities: object) -> None:
        raise NotOnThisBase("preRegisterRemoteSystem", "use a keyed multiprocTCPBase for a convention")

    def deRegisterRemoteSystem(self, _address: object) -> None:
        raise NotOnThisBase("deRegisterRemoteSystem", "use a keyed multiprocTCPBase for a convention")
