"""Here `world` is the plugin's own."""

from gateway.testing.plugin import world

__all__ = ["world"]
