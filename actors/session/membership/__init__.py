"""Who is in a session: the two sides of it, and the changes of its membership (`session.md` 10)."""
