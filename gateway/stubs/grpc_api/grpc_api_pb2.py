"""The name under which the generation before 0.7 published the records of connections and subscriptions."""

from controller.v1.controller_pb2 import (
    Ack,
    ConfigurationCommand,
    Connection,
    ConnectionEntry,
    ConnectionListResponse,
    ControlMessage,
    Subscription,
    SubscriptionEntry,
    SubscriptionListResponse,
)

__all__ = [
    "Ack",
    "ConfigurationCommand",
    "Connection",
    "ConnectionEntry",
    "ConnectionListResponse",
    "ControlMessage",
    "Subscription",
    "SubscriptionEntry",
    "SubscriptionListResponse",
]
