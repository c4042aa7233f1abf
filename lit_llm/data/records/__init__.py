"""Files on disk become records, with errors that name the place."""
