"""YAML as people mean it: names are text whatever they look like, and characters that JSON has cut in two are whole."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

import yaml

# As JSON writes a character beyond the first 65,536.
_HALVES = re.compile(r"(?<!\\)((?:\\\\)*)\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})", re.IGNORECASE)
_TRUTH = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
_BOOL, _TEXT, _MERGE = ("tag:yaml.org,2002:" + name for name in ("bool", "str", "merge"))


def whole(text: str) -> str:
    r"""Return YAML or JSON in which two escapes ``\ud83d\ude00`` that make up one character are that character."""
    return _HALVES.sub(lambda found: found[1] + _character(found[2], found[3]), text)


def half(text: str) -> str | None:
    """Return the first half of a character that stands alone in a text, as JSON writes it; None without one."""
    found = re.search("[\ud800-\udfff]", text)
    return f"\\u{ord(found[0]):04x}" if found else None


def loader(plain: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return a loader of YAML whose keys are text, and in which ``true`` and ``false`` alone are truth values.

    So ``no`` (Norwegian), ``on``, ``yes`` and ``1`` can be names. Where a truth value is asked for, the parser of
    arguments takes these words still.

    Args:
        plain: jsonargparse's own loader, which tells texts that only look like a mapping.
    """

    def load(stream: str) -> Any:
        text = whole(stream)
        value = yaml.load(text, Loader=_loader())
        if isinstance(value, dict) and value and all(item is None for item in value.values()):
            found = plain(text)
            return found if isinstance(found, str) else value
        return value

    return load


@cache
def _loader() -> type[Any]:
    from jsonargparse._loaders_dumpers import get_yaml_default_loader

    default: Any = get_yaml_default_loader()  # type: ignore[no-untyped-call]

    class Loader(default):  # type: ignore[misc]
        """jsonargparse's loader, which knows more numbers than YAML's own."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                    key.tag = _TEXT
            return super().construct_mapping(node, deep)

    Loader.yaml_implicit_resolvers = {
        letter: [(tag, pattern) for tag, pattern in found if tag != _BOOL]
        for letter, found in default.yaml_implicit_resolvers.items()
    }
    Loader.add_implicit_resolver(_BOOL, _TRUTH, list("tTfF"))
    return Loader


def _character(high: str, low: str) -> str:
    return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00)
