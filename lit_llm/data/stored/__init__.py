"""Encoded rows on disk: written once, opened at once, and never all in memory."""
