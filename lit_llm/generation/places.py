"""Where in a JSON text the next byte stands, and where in a name of a catalogue."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

from lit_llm.catalogues import FieldPath, Node

Roots: TypeAlias = Mapping[FieldPath, Node]
"""Where names begin, by the path of their field."""

_QUOTE, _BACKSLASH, _COLON, _COMMA = b'"\\:,'
_OPEN, _CLOSE = {ord("{"): "object", ord("["): "list"}, b"}]"
_BLANK = b" \t\r\n"


class Place(NamedTuple):
    """A place in a text that a grammar holds to JSON, so that nothing of it is checked here.

    Attributes:
        expects: what may come: a ``value``, a ``key``, a ``colon``, or what stands behind a value (``end``); ``in key``
            and ``in text`` are inside of strings.
        path: of the value that is expected or being written.
        above: kinds and paths of the objects and lists that are open.
        key: bytes of the key that is being written.
        escaped: whether the last byte was a backslash in a string.
        node: where in a name the text stands; None outside of names.
    """

    expects: str = "value"
    path: FieldPath = ()
    above: tuple[tuple[str, FieldPath], ...] = ()
    key: bytes = b""
    escaped: bool = False
    node: Node | None = None

    def after(self, letters: Iterable[int], roots: Roots) -> Place | None:
        """Return the place behind some bytes; None where no name of its catalogue goes on with them."""
        place = self
        for letter in letters:
            further = place._next(letter, roots)
            if further is None:
                return None
            place = further
        return place

    def left(self, letters: Iterable[int], roots: Roots) -> Place:
        """Return the place behind some bytes, be it outside of all names: a text may end in which none goes on."""
        place = self
        for letter in letters:
            place = place._next(letter, roots) or place._replace(node=None)._next(letter, roots) or place
        return place

    def _next(self, letter: int, roots: Roots) -> Place | None:
        if self.expects == "in text":
            return self._in_text(letter)
        if self.expects == "in key":
            return self._in_key(letter)
        if letter in _BLANK:
            return self
        if letter in _CLOSE:
            *above, (_, path) = self.above
            return Place("end", path, tuple(above))
        if self.expects == "value":
            return self._value(letter, roots)
        if letter == _QUOTE:
            return self._replace(expects="in key", key=b"")
        if letter == _COLON:
            return self._replace(expects="value")
        return self._further() if letter == _COMMA else self

    def _value(self, letter: int, roots: Roots) -> Place:
        if letter == _QUOTE:
            return self._replace(expects="in text", escaped=False, node=roots.get(self.path))
        if letter in _OPEN:
            return Place("", self.path, (*self.above, (_OPEN[letter], self.path)))._further()
        return self._replace(expects="end")

    def _further(self) -> Place:
        """Return the place where the next member of the innermost object or list is expected."""
        if not self.above:
            return self
        kind, path = self.above[-1]
        return Place("key", path, self.above) if kind == "object" else Place("value", (*path, None), self.above)

    def _in_text(self, letter: int) -> Place | None:
        node = self.node.down(letter) if self.node else None
        if self.node and node is None:
            return None
        if letter == _QUOTE and not self.escaped:
            return Place("end", self.path, self.above)
        return self._replace(escaped=letter == _BACKSLASH and not self.escaped, node=node)

    def _in_key(self, letter: int) -> Place:
        if letter != _QUOTE or self.escaped:
            escaped = letter == _BACKSLASH and not self.escaped
            return self._replace(key=self.key + bytes([letter]), escaped=escaped)
        name = json.loads(b'"' + self.key + b'"')
        return Place("colon", (*self.above[-1][1], name), self.above)
