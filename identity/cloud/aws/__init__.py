"""Identity on Amazon Web Services."""

from __future__ import annotations

from identity.cloud.aws.client import AWSClient, new_client

__all__ = ["AWSClient", "new_client"]
