"""Links: what stands between a Connection actor and the bytes of a stream (`design.md` 5.5)."""
