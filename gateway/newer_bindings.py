"""What stands here for names of slim-bindings 1.x, whose interface is another one (docs/porting.md)."""

from __future__ import annotations

_INSTEAD = {
    "an application is Slim(name, provider, verifier), and needs no service": (
        "ServiceConfig", "create_service", "create_service_with_config", "get_global_service",
        "get_services", "new_service_config", "new_service_config_with", "new_service_configuration",
        "shutdown_blocking",
    ),
    "nothing has to be initialized": (
        "RuntimeConfig", "initialize_from_config", "initialize_from_config_with_error",
        "initialize_with_configs", "initialize_with_defaults", "is_initialized", "new_runtime_config",
        "new_runtime_config_with", "uniffi_set_event_loop",
    ),
    "tracing is set up by init_tracing({...})": (
        "TracingConfig", "new_tracing_config", "new_tracing_config_with",
    ),
    "a session is opened by app.session(name) or app.group(channel), and described by "
    "SessionConfiguration.PointToPoint or SessionConfiguration.Group": (
        "SessionConfig", "SessionWithCompletion",
    ),
    "a connection is described by its endpoint or a dict: await app.connect(...)": (
        "BackoffConfig", "ClientConfig", "ExponentialBackoff", "FixedIntervalBackoff", "KeepaliveConfig",
        "ProxyConfig", "TlsClientConfig", "new_insecure_client_config", "new_secure_client_config",
    ),
    "a node is a program (callboard start), or is described by a dict: await app.run_server({...})": (
        "DataplaneConfig", "KeepaliveServerParameters", "ServerConfig", "TlsServerConfig",
        "new_dataplane_config", "new_insecure_server_config", "new_secure_server_config",
        "new_server_config",
    ),
    "an identity is an IdentityProvider and an IdentityVerifier": (
        "ClientJwtAuth", "IdentityProviderConfig", "IdentityVerifierConfig", "JwtAlgorithm", "JwtAuth",
        "JwtKeyConfig", "JwtKeyData", "JwtKeyFormat", "JwtKeyType", "SpireConfig", "StaticJwtAuth",
    ),
    "a message is a Message, or the pair (context, payload)": ("ReceivedMessage",),
    "remote calls are app.serve(handler) and await session.request(...)": (
        "BidiStreamHandler", "Channel", "Context", "MulticastBidiStreamHandler", "RpcCode", "RpcError",
        "RpcMessageContext", "Server", "StreamStreamHandler", "StreamUnaryHandler", "UnaryStreamHandler",
        "UnaryUnaryHandler",
    ),
}  # fmt: skip


def instead(name: str) -> str:
    """What to write here for a name of 1.x, to end the error of whoever looks for it with; or nothing."""
    for text, names in _INSTEAD.items():
        if name in names:
            return f": that is of slim-bindings 1.x, and here {text} (docs/porting.md)"
    return ""
