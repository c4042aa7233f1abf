"""The version, in a file that needs no other."""

__version__ = "0.1.0"
