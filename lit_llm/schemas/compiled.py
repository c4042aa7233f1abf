"""A JSON schema made ready for use: unwrapped, checked once, its references known to lead somewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from lit_llm.errors import DataError
from lit_llm.schemas.classes import names_class, schema_of
from lit_llm.schemas.keywords import EXACT
from lit_llm.schemas.patterns import check_patterns
from lit_llm.strict_json import JSONError, excerpt, json_type, loads

Schema: TypeAlias = "dict[str, Any] | bool"

WRAPPERS = (
    *("schema", "json_schema", "function", "parameters", "input_schema", "inputSchema", "outputSchema"),
    *("response_format", "format", "text"),
)
"""Keys under which response formats and tools of chat interfaces hold their schema."""

_WRAPPER_TYPES = ("json_schema", "function")
_ANNOTATIONS = {
    *("$schema", "$id", "id", "$comment", "$anchor", "$dynamicAnchor", "$recursiveAnchor", "$vocabulary", "$defs"),
    *("definitions", "title", "description", "default", "examples", "example", "deprecated", "readOnly", "writeOnly"),
    *("contentEncoding", "contentMediaType", "contentSchema", "then", "else", "discriminator", "nullable"),
}
_IN_PLACE = ("$ref", "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas")


@dataclass(frozen=True)
class Compiled:
    r"""A checked schema.

    Attributes:
        root: the schema itself, its keys in the order of its file.
        specification: of its dialect, from ``referencing``.
        resolver: follows references from the root.
        validator: of ``jsonschema``, with decimal ``multipleOf`` and patterns that know ``\p{L}``.
        old_arrays: a list under ``items`` stands for what is ``prefixItems`` since Draft 2020-12.
    """

    root: Any
    specification: Any
    resolver: Any
    validator: Any
    old_arrays: bool

    def enter(self, node: dict[str, Any], resolver: Any) -> Any:
        """Return the resolver inside of a subschema, which may have an address of its own."""
        if "$id" not in node and "id" not in node:
            return resolver
        return resolver.in_subresource(self.specification.create_resource(node))


def read_schema(path: str | Path) -> Schema:
    """Return the schema of a JSON file, or of a class ``module:Class``, unwrapped and checked.

    Raises:
        DataError: the file or class cannot be read, or is no JSON schema.
    """
    if names_class(str(path)):
        return cleaned(schema_of(str(path)))
    try:
        return cleaned(loads(Path(path).read_text(encoding="utf-8-sig")))
    except (OSError, UnicodeDecodeError, JSONError) as error:
        raise DataError(f"meta.schema: {path} cannot be read as JSON: {str(error).splitlines()[0]}") from error


def cleaned(schema: Any) -> Schema:
    """Return a schema out of what a chat interface wraps it in (``{"name": …, "schema": {…}}``), and check it.

    Raises:
        DataError: it is no JSON schema, refers to what is not there or to itself without end, or allows no value.
    """
    while (inner := _wrapped(schema)) is not None:
        schema = inner
    compiled(schema)
    if schema is False:
        _refuse("false allows no value at all; use {} to allow every one")
    return {} if schema is True else schema


def compiled(schema: Any) -> Compiled:
    """Return a schema ready for use; the same schema is checked once.

    Raises:
        DataError: as for ``cleaned``, and if it is wrapped in something else.
    """
    if not isinstance(schema, dict | bool):
        _refuse(f"{json_type(schema)} {excerpt(schema)} is no JSON schema, which is an object")
    return _compiled(json.dumps(schema))


@lru_cache(maxsize=4096)
def _compiled(text: str) -> Compiled:
    from jsonschema import Draft202012Validator, FormatChecker, SchemaError, validators
    from referencing import Registry
    from referencing.jsonschema import DRAFT202012, specification_with

    schema = json.loads(text)
    _refuse_unknown(schema)
    kind: Any = validators.validator_for(schema, default=Draft202012Validator)
    try:
        # Its own check of patterns knows no more of them than Python does.
        kind.check_schema(schema, format_checker=FormatChecker(()))
    except SchemaError as error:
        _refuse(f"{error.json_path}: {error.message[:200]}; mend the JSON schema")
    check_patterns(schema)
    specification: Any = specification_with(kind.META_SCHEMA.get("$schema", ""), default=DRAFT202012)
    resolver = Registry().resolver_with_root(specification.create_resource(schema))
    exact: Any = validators.extend  # jsonschema's own hints leave it untyped
    validator = exact(kind, EXACT)(schema, registry=Registry())
    made = Compiled(schema, specification, resolver, validator, "prefixItems" not in kind.VALIDATORS)
    _References(made).check()
    return made


class _References:
    """Looks at every reference of a schema once."""

    def __init__(self, schema: Compiled) -> None:
        self.schema = schema
        self.finished: set[int] = set()

    def check(self) -> None:
        """Refuse references that lead nowhere, or back to where they stand without having read any of a value."""
        for node, resolver in self._all(self.schema.root, self.schema.resolver):
            self._follow(node, resolver, ())

    def _all(self, node: Any, resolver: Any) -> Iterator[tuple[Any, Any]]:
        if not isinstance(node, dict):
            return
        resolver = self.schema.enter(node, resolver)
        yield node, resolver
        for inner in self.schema.specification.subresources_of(node):
            yield from self._all(inner, resolver)

    def _follow(self, node: Any, resolver: Any, path: tuple[int, ...]) -> None:
        if not isinstance(node, dict) or id(node) in self.finished:
            return
        if id(node) in path:
            _refuse(f"{excerpt(node)} refers to itself without end; let $ref stand under properties or items")
        for inner, inside in self._applied(node, self.schema.enter(node, resolver)):
            self._follow(inner, inside, (*path, id(node)))
        self.finished.add(id(node))

    def _applied(self, node: dict[str, Any], resolver: Any) -> Iterator[tuple[Any, Any]]:
        for name in _IN_PLACE:
            argument = node.get(name)
            if name == "$ref" and isinstance(argument, str):
                resolved = look_up(argument, resolver)
                yield resolved.contents, resolved.resolver
            elif isinstance(argument, list):
                yield from ((inner, resolver) for inner in argument)
            elif name == "dependentSchemas" and isinstance(argument, dict):
                yield from ((inner, resolver) for inner in argument.values())
            elif argument is not None:
                yield argument, resolver


def look_up(reference: str, resolver: Any) -> Any:
    """Return what ``referencing`` finds behind a reference.

    Raises:
        DataError: it leads nowhere, or to another document.
    """
    from referencing.exceptions import Unresolvable

    try:
        return resolver.lookup(reference)
    except (Unresolvable, ValueError) as error:
        raise DataError(f"meta.schema: reference {reference!r} is not in the schema; copy it under $defs") from error


def _keywords() -> set[str]:
    from jsonschema import validators

    drafts = (validators.Draft3Validator, validators.Draft7Validator, validators.Draft202012Validator)
    return {name for draft in (*drafts, validators.Draft201909Validator) for name in draft.VALIDATORS}


def _wrapped(schema: Any) -> Any:
    """Return what a wrapper holds; None where this is none."""
    if not isinstance(schema, dict):
        return None
    asserted = _keywords() & set(schema)
    if schema.get("type") in _WRAPPER_TYPES:
        asserted -= {"type"}
    if isinstance(schema.get("format"), dict):
        asserted -= {"format"}
    inner = [schema[name] for name in WRAPPERS if isinstance(schema.get(name), dict)]
    return inner[0] if inner and not asserted else None


def _refuse_unknown(schema: Any) -> None:
    """Refuse an object that is meant to say something, but nothing that JSON Schema knows."""
    if not isinstance(schema, dict) or _keywords() & set(schema):
        return
    if defined := [name for name in ("$defs", "definitions") if schema.get(name)]:
        _refuse(f"it has {defined[0]} and uses none of them, so it would allow everything; add a $ref to the one meant")
    if unknown := set(schema) - _ANNOTATIONS:
        named = ", ".join(sorted(map(repr, unknown))[:4])
        _refuse(f"{named}: none of its keys is one of JSON Schema's, so it would allow everything; is it a wrapper?")


def _refuse(message: str) -> NoReturn:
    raise DataError(f"meta.schema: {message}")
