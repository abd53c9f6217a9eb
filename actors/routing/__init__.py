"""Routing by name: the subscription table, its snapshots, and the actors around them (`dataplane.md` 4-8)."""
