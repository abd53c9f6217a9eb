"""Callboard for applications: the names of the SLIM Python package, and our own short spelling.

from gateway import IdentityProvider, IdentityVerifier, Name, SessionConfiguration, Slim

A library logs nothing unless asked: `init_tracing` turns the log of all three floors on.
"""

from __future__ import annotations

from loguru import logger

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
)
from actors.messages.session import AppSettings, EpochChanged, IdentityRotated, MemberJoined, MemberLeft
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

SLIMTimeoutError = SlimTimeout

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
    "Service",
    "SessionClosed",
    "SessionError",
    "SessionNotFound",
    "SlimError",
    "SlimTimeout",
    "TEXT",
    "UntrustedPeer",
]
