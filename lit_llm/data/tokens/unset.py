"""Names in a chat template that nothing sets, which Jinja writes as nothing without a word."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_GENERATION = re.compile(r"\{%[-+]?\s*(end)?generation\s*[-+]?%\}")


def unset_names(text: str) -> Iterator[tuple[str, int]]:
    """Yield the names that a template writes although nothing sets or asks for them, with their lines."""
    from jinja2 import Environment, TemplateSyntaxError, meta, nodes
    from jinja2.ext import loopcontrols

    try:
        tree = Environment(extensions=[loopcontrols]).parse(_GENERATION.sub("", text))
        # What is set in one branch alone counts as set: which branch is taken shows when a conversation is written.
        stored = {name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"}
        unset = meta.find_undeclared_variables(tree) - stored
    except TemplateSyntaxError:
        return
    branches: list[Any] = [*tree.find_all(nodes.If), *tree.find_all(nodes.CondExpr)]
    tests = [node.test for node in branches]
    asked = {name.name for test in (*tests, *tree.find_all(nodes.Test)) for name in _names(test)}
    for output in tree.find_all(nodes.Output):
        for name in (name for part in output.nodes for name in _written(part)):
            if name.name in unset - asked and not name.name.endswith("_token"):
                yield name.name, name.lineno


def _names(node: Any) -> list[Any]:
    from jinja2 import nodes

    return [*([node] if isinstance(node, nodes.Name) else []), *node.find_all(nodes.Name)]


def _written(node: Any) -> Iterator[Any]:
    """Yield the names whose values an expression writes as they are."""
    from jinja2 import nodes

    if isinstance(node, nodes.Name):
        yield node
    elif isinstance(node, nodes.Filter) and node.name not in ("default", "d") and node.node is not None:
        yield from _written(node.node)
    elif isinstance(node, nodes.Concat):
        yield from (name for part in node.nodes for name in _written(part))
    elif isinstance(node, nodes.Add):
        yield from (*_written(node.left), *_written(node.right))
    elif isinstance(node, nodes.CondExpr):
        yield from (name for part in (node.expr1, node.expr2) if part is not None for name in _written(part))
