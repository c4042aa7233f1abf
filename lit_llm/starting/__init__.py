"""From a person's own file to a folder that a run starts from."""
