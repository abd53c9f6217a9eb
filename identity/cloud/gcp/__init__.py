"""Identity on Google Cloud."""

from __future__ import annotations

from identity.cloud.gcp.client import GCPClient, new_client

__all__ = ["GCPClient", "new_client"]
