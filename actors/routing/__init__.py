"""Routing by name: the subscription table and the actors around it (`dataplane.md` 4 to 8)."""
