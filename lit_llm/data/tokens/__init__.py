"""Examples become tokens: conversations, labels, encoded rows."""
