"""Run files as text: whether each can be read at all, and on which line a key stands."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from lit_llm.arguments.here import HERE, resolved
from lit_llm.arguments.yaml_text import half, whole
from lit_llm.errors import ConfigError
from lit_llm.paths import similar

SUFFIXES = (".yaml", ".yml")


def named_in(arguments: Sequence[str]) -> list[Path]:
    """Return the run files of a command line, in order."""
    values = []
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        name, _, value = argument.partition("=")
        if name in ("--config", "-c"):
            values.append(value or following)
    # A configuration may be given as text in place of a file.
    return [Path(value) for value in values if value and not set("{\n") & set(value)]


def check_all(arguments: Sequence[str]) -> None:
    """Check each run file of a command line."""
    for path in named_in(arguments):
        check(path)


def check(path: Path) -> None:
    """Check what the parser would take silently or answer without naming the file.

    Raises:
        ConfigError: if a run file or a fragment that it names is absent, is no UTF-8 or YAML, holds no mapping, or
            gives one key twice.
    """
    if (path / "config.yaml").is_file():
        raise ConfigError(f"config: {path} is a run folder; name the file in it: --config {path / 'config.yaml'}")
    if not path.is_file():
        raise ConfigError(f"config: there is no file {path}{similar(path)}")
    root = compose(path)
    if not isinstance(root, yaml.MappingNode):
        found = "nothing" if root is None else type(root).__name__.removesuffix("Node").lower()
        raise ConfigError(f"{path}:1: must hold keys such as model, data and trainer, but holds {found}")
    for key, value in root.value:
        # The parser would take it, and the trainer's settings for no settings.
        if key.value == "trainer" and not isinstance(value, yaml.MappingNode) and not _fragment(path, value):
            place = f"trainer ({path}:{value.start_mark.line + 1})"
            raise ConfigError(f"{place}: must hold keys such as max_epochs, or name a fragment")
    _check_node(path, root, {path.resolve()})


def find(path: Path, key: str, needle: str | None = None) -> list[str]:
    """Return the places ``file:line`` at which a run file, or a fragment that it names, gives a key.

    Args:
        path: the run file.
        key: with dots; the steps through lists are left out of it.
        needle: a key or value that must stand there; its line is then the place.
    """
    root = compose(path)
    found = _follow(path, root, key.split("."), 1) if root else iter(())
    lines = [(file, _line(node, needle, line)) for file, node, line in found]
    return [f"{file}:{line}" for file, line in lines if line]


def compose(path: Path) -> yaml.Node | None:
    """Return a run file as YAML's nodes, which know their lines; None for an empty file.

    Raises:
        ConfigError: if it cannot be read, is no UTF-8 or no YAML.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        return yaml.compose(whole(text), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}: is not UTF-8; save it as UTF-8") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        hint = "; indent with spaces, not tabs" if "cannot start any token" in str(error.problem) else ""
        if mark and f" {HERE}" in "".join(text.splitlines()[mark.line : mark.line + 1]):
            hint = f'; put quotes around a path that starts with {HERE}: "{HERE}/train.jsonl"'
        context = f" ({error.context} on line {error.context_mark.line + 1})" if error.context_mark else ""
        raise ConfigError(f"{place}: is not YAML: {error.problem}{context}{hint}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not YAML: {str(error).splitlines()[0]}") from error
    except OSError as error:
        raise ConfigError(f"config: {path} cannot be read: {error.strerror}") from error


def _check_node(path: Path, node: yaml.Node, seen: set[Path]) -> None:
    fragment = _fragment(path, node)
    if fragment and fragment.resolve() not in seen:
        root = compose(fragment)
        _check_node(fragment, root or yaml.SequenceNode("", []), seen | {fragment.resolve()})
    _refuse_half(path, node)
    if isinstance(node, yaml.MappingNode):
        _check_keys(path, node)
        for _, value in node.value:
            _check_node(path, value, seen)
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_node(path, item, seen)


def _check_keys(path: Path, node: yaml.MappingNode) -> None:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        _refuse_half(path, key)
        line = key.start_mark.line + 1
        if str(key.value) in lines:
            first = lines[str(key.value)]
            raise ConfigError(f"{path}:{line}: key '{key.value}' is already on line {first}; keep one of them")
        lines[str(key.value)] = line


def _refuse_half(path: Path, node: yaml.Node) -> None:
    if isinstance(node, yaml.ScalarNode) and (found := half(node.value)):
        place = f"{path}:{node.start_mark.line + 1}"
        raise ConfigError(f"{place}: holds {found}, which is half a character: write the character itself")


def _fragment(path: Path, node: yaml.Node | None) -> Path | None:
    if not isinstance(node, yaml.ScalarNode) or not node.value.endswith(SUFFIXES):
        return None
    fragment = Path(os.path.normpath(path.parent / resolved(node.value, path.parent)))
    return fragment if fragment.is_file() else None


def _follow(path: Path, node: yaml.Node, parts: list[str], line: int) -> Iterator[tuple[Path, yaml.Node, int]]:
    """Yield file, value and line of whatever stands at a path of keys."""
    if not parts:
        yield path, node, line
        return
    fragment = _fragment(path, node)
    if fragment and (inner := compose(fragment)):
        yield from _follow(fragment, inner, parts, 1)
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _follow(path, item, parts, item.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        yield from _follow_keys(path, node, parts, line)


def _follow_keys(
    path: Path, node: yaml.MappingNode, parts: list[str], line: int
) -> Iterator[tuple[Path, yaml.Node, int]]:
    inner = {str(key.value).rstrip("+"): (key.start_mark.line + 1, value) for key, value in node.value}
    if parts[0] in inner:
        yield from _follow(path, inner[parts[0]][1], parts[1:], inner[parts[0]][0])
    elif parts[0] == "init_args":
        # Arguments may stand beside the class, or without one.
        yield from _follow(path, node, parts[1:], line)


def _line(node: yaml.Node, needle: str | None, line: int) -> int | None:
    """Return the line of a word within a node; without a word, that of the node's key."""
    if needle is None:
        return line
    if isinstance(node, yaml.ScalarNode):
        return node.start_mark.line + 1 if node.value == needle else None
    pairs = node.value if isinstance(node, yaml.MappingNode) else [(item,) for item in node.value]
    inner = [_line(part, needle, line) for pair in pairs for part in pair]
    return next((found for found in inner if found), None)
