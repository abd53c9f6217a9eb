"""The applications' API: `Slim`, `Session` and what they hand out (`api.md`)."""
