"""Which rows form which step, and how they are joined."""
