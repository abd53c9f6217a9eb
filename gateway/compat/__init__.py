"""Every spelling of the SLIM Python package from 0.3.6 to 0.7, so that a program is ported by its import:

    from gateway import compat as slim_bindings

`names` holds the `Py...` names and configurations, `slim` the application with the receive loop that older
programs use, `lower` the `App` and `SessionContext` of 0.7.
"""

from __future__ import annotations

from actors.errors import SLIMTimeoutError
from gateway.api.completion import CompletionHandle
from gateway.api.message import MessageContext
from gateway.api.name import SettableName
from gateway.api.session import SessionNotFound
from gateway.api.session_config import SessionType
from gateway.api.version import get_build_info, get_build_profile, get_version
from gateway.compat.identity import PyIdentityProvider, PyIdentityVerifier
from gateway.compat.lower import App, SessionContext
from gateway.compat.names import (
    OlderConfiguration,
    PyName,
    PySessionConfiguration,
    PySessionDirection,
    PySessionType,
)
from gateway.compat.slim import PySession, PySessionInfo, Slim
from gateway.telemetry.tracing import init_tracing
from identity.jose.keys import Algorithm, Key, KeyData, KeyFormat
from identity.provider import IdentityProvider, IdentityVerifier

Name = SettableName
SessionConfiguration = OlderConfiguration
PyAlgorithm = Algorithm
PyKey = Key
PyKeyData = KeyData
PyKeyFormat = KeyFormat
PyMessageContext = MessageContext
PyService = App
Session = PySession
PySessionContext = SessionContext

__all__ = [
    # 0.7
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
    # 0.3.6 to 0.6
    "PyAlgorithm",
    "PyIdentityProvider",
    "PyIdentityVerifier",
    "PyKey",
    "PyKeyData",
    "PyKeyFormat",
    "PyMessageContext",
    "PyName",
    "PyService",
    "PySession",
    "PySessionConfiguration",
    "PySessionContext",
    "PySessionDirection",
    "PySessionInfo",
    "PySessionType",
    # Ours
    "SessionNotFound",
]
