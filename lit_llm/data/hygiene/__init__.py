"""What is wrong with data: duplicates, leaks, bad rows, spellings, lengths."""
