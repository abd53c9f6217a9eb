"""Who may connect, and how it is encrypted: TLS contexts, their material, tokens at the door."""
