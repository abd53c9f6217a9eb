"""Callboard for applications: the names of the SLIM Python package, and our own short spelling.

from gateway import IdentityProvider, IdentityVerifier, Name, SessionConfiguration, Slim

Each name is imported when it is first used: a program that only mentions this package starts at once.
The log is that of `logging.getLogger("callboard")`; `init_tracing` shows it on standard error.
"""

from __future__ import annotations

from gateway.interrupted import end_quietly

end_quietly()

# ruff: noqa: E402  (only once Ctrl-C is dealt with, and `identity` is known to be ours)
from typing import TYPE_CHECKING

from loguru import logger

from gateway.neighbours import check_neighbours

check_neighbours()

from identity.on_use import names_on_use

if TYPE_CHECKING:
    from actors.errors import (
        AlreadyConnected,
        CannotConnect,
        ConnectionLost,
        DeliveryError,
        HandshakeFailed,
        LinkError,
        MessageLost,
        MessageTooLarge,
        MessageUndelivered,
        NoRoute,
        NotConnected,
        NotModerator,
        ParticipantDisconnected,
        ParticipantExists,
        ParticipantNotFound,
        ProtocolError,
        QueueFull,
        SessionClosed,
        SessionError,
        SlimTimeout,
        SLIMTimeoutError,
    )
    from actors.messages.session import AppSettings, EpochChanged, IdentityRotated, MemberJoined, MemberLeft
    from actors.moderation import Script
    from gateway.api.completion import CompletionHandle
    from gateway.api.message import MessageContext
    from gateway.api.name import Name
    from gateway.api.payloads import BYTES, JSON, TEXT, Model, PayloadCodec
    from gateway.api.serving import Request, Service
    from gateway.api.session import Message, Session, SessionNotFound
    from gateway.api.session_config import SessionConfiguration, SessionType
    from gateway.api.slim import Slim
    from gateway.api.version import get_build_info, get_build_profile, get_version
    from gateway.compat.lower import App, SessionContext
    from gateway.node.data_plane import DataPlane
    from gateway.telemetry.tracing import init_tracing
    from identity.errors import (
        AuthError,
        ConfigError,
        CryptoError,
        InvalidToken,
        MlsError,
        SlimError,
        UntrustedPeer,
    )
    from identity.jose.keys import Algorithm, Key, KeyData, KeyFormat
    from identity.provider import IdentityProvider, IdentityVerifier

_HOMES = {
    "actors.errors": (
        "AlreadyConnected",
        "CannotConnect",
        "ConnectionLost",
        "DeliveryError",
        "HandshakeFailed",
        "LinkError",
        "MessageLost",
        "MessageTooLarge",
        "MessageUndelivered",
        "NoRoute",
        "NotConnected",
        "NotModerator",
        "ParticipantDisconnected",
        "ParticipantExists",
        "ParticipantNotFound",
        "ProtocolError",
        "QueueFull",
        "SessionClosed",
        "SessionError",
        "SLIMTimeoutError",
        "SlimTimeout",
    ),
    "actors.messages.session": (
        "AppSettings",
        "EpochChanged",
        "IdentityRotated",
        "MemberJoined",
        "MemberLeft",
    ),
    "actors.moderation": ("Script",),
    "gateway.api.completion": ("CompletionHandle",),
    "gateway.api.message": ("MessageContext",),
    "gateway.api.name": ("Name",),
    "gateway.api.payloads": (
        "BYTES",
        "JSON",
        "TEXT",
        "Model",
        "PayloadCodec",
    ),
    "gateway.api.serving": (
        "Request",
        "Service",
    ),
    "gateway.api.session": (
        "Message",
        "Session",
        "SessionNotFound",
    ),
    "gateway.api.session_config": (
        "SessionConfiguration",
        "SessionType",
    ),
    "gateway.api.slim": ("Slim",),
    "gateway.api.version": (
        "get_build_info",
        "get_build_profile",
        "get_version",
    ),
    "gateway.compat.lower": (
        "App",
        "SessionContext",
    ),
    "gateway.node.data_plane": ("DataPlane",),
    "gateway.telemetry.tracing": ("init_tracing",),
    "identity.errors": (
        "AuthError",
        "ConfigError",
        "CryptoError",
        "InvalidToken",
        "MlsError",
        "SlimError",
        "UntrustedPeer",
    ),
    "identity.jose.keys": (
        "Algorithm",
        "Key",
        "KeyData",
        "KeyFormat",
    ),
    "identity.provider": (
        "IdentityProvider",
        "IdentityVerifier",
    ),
}
"""The same as above: where each name is at home."""


def _hint(name: str) -> str:
    from gateway.newer_bindings import instead

    return instead(name)


__getattr__, __dir__ = names_on_use(globals(), _HOMES, _hint)

logger.disable(__name__)

__all__ = [
    # What the 0.7 package exports.
    "Algorithm",
    "App",
    "CompletionHandle",
    "IdentityProvider",
    "IdentityVerifier",
    "Key",
    "KeyData",
    "KeyFormat",
    "MessageContext",
    "Name",
    "SLIMTimeoutError",
    "Session",
    "SessionConfiguration",
    "SessionContext",
    "SessionType",
    "Slim",
    "get_build_info",
    "get_build_profile",
    "get_version",
    "init_tracing",
    # Ours.
    "AlreadyConnected",
    "AppSettings",
    "AuthError",
    "BYTES",
    "CannotConnect",
    "ConfigError",
    "ConnectionLost",
    "CryptoError",
    "DataPlane",
    "DeliveryError",
    "EpochChanged",
    "HandshakeFailed",
    "IdentityRotated",
    "InvalidToken",
    "JSON",
    "LinkError",
    "MemberJoined",
    "MemberLeft",
    "Message",
    "MessageLost",
    "MessageTooLarge",
    "MessageUndelivered",
    "MlsError",
    "Model",
    "NoRoute",
    "NotConnected",
    "NotModerator",
    "ParticipantDisconnected",
    "ParticipantExists",
    "ParticipantNotFound",
    "PayloadCodec",
    "ProtocolError",
    "QueueFull",
    "Request",
    "Script",
    "Service",
    "SessionClosed",
    "SessionError",
    "SessionNotFound",
    "SlimError",
    "SlimTimeout",
    "TEXT",
    "UntrustedPeer",
]
