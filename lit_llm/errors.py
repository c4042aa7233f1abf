"""Errors that a user can mend: shown by the command line as text, without a traceback."""


class UserError(Exception):
    """Something outside the code is wrong; the message names the value, the place and the remedy."""


class DataError(UserError):
    """A record, file or column that cannot be used; the message starts with ``file:line: field``."""


class ConfigError(UserError):
    """A setting that is impossible or contradicts another; the message starts with its YAML key."""
