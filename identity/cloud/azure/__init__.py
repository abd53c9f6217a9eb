"""Identity on Microsoft Azure."""

from __future__ import annotations

from identity.cloud.azure.client import AzureClient, new_client

__all__ = ["AzureClient", "new_client"]
