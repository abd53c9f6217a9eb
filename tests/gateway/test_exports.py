"""The public names: adding or losing one is a decision."""

from __future__ import annotations

import asyncio

import pytest

import gateway
from gateway import compat

FROM_0_7 = {
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
}

OURS = {
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
}

OLDER = {
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
    "SessionNotFound",
}


def test_gateway_hands_out_these_names() -> None:
    assert set(gateway.__all__) == FROM_0_7 | OURS
    assert len(gateway.__all__) == len(set(gateway.__all__))


def test_compat_hands_out_these_names() -> None:
    assert set(compat.__all__) == FROM_0_7 | OLDER


@pytest.mark.parametrize("module", [gateway, compat])
def test_every_name_is_there(module: object) -> None:
    for name in module.__all__:  # type: ignore[attr-defined]
        assert getattr(module, name) is not None


def test_the_timeout_error_is_asyncios_too() -> None:
    assert issubclass(gateway.SLIMTimeoutError, asyncio.TimeoutError)
