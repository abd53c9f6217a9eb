"""Everything that actors say to one another: frozen records, each with a msgpack form.

`wire` holds the protocol's own records, `routing` what the actors of a node say, `session` what
applications and sessions say, `controller` what a controller, its nodes and its callers say,
`controlled` what a node's control agent is told, `moderation` what a script and its stage say.
`VOCABULARY` packs and unpacks all of them (`actors/messages/vocabulary.py`).
"""

from __future__ import annotations

from thespian.actors import ActorAddress

from actors.messages import controlled, controller, moderation, routing, session, wire
from actors.messages.vocabulary import Vocabulary
from actors.system import address_from_text, address_to_text

VOCABULARY = Vocabulary.of(wire, routing, session, controller, controlled, moderation)
VOCABULARY.extend(
    ActorAddress,
    lambda address: address_to_text(address).encode(),
    lambda data: address_from_text(data.decode()),
)

__all__ = ["VOCABULARY", "controlled", "controller", "moderation", "routing", "session", "wire"]
