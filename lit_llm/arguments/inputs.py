"""The files and folders that a verb will read, found in its run files without importing the classes named there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lit_llm.arguments.here import resolved
from lit_llm.arguments.run_files import SUFFIXES, compose
from lit_llm.arguments.yaml_text import whole
from lit_llm.errors import ConfigError, DataError
from lit_llm.paths import at_home, missing_base, no_base, similar
from lit_llm.schemas.classes import names_class

TYPED = "on the command line"
STAGES = {
    "fit": ("train", "valid"),
    "validate": ("valid",),
    "test": ("test",),
    "predict": ("predict",),
    "audit": ("train", "valid", "test"),
}
"""The keys of data modules that each verb reads."""

ALWAYS = ("schema", "chat_template", "clips")
"""Further keys that name a file or folder, whatever the verb."""


@dataclass(frozen=True)
class Leaf:
    """A value of a run file or command line.

    Attributes:
        value: as text, ``{here}`` resolved; None for null.
        place: ``file:line``, or the command line.
    """

    value: str | None
    place: str


def check(verb: str, tree: Mapping[str, Any]) -> None:
    """Check that what a verb will read is there.

    Only settings of this project's classes are looked at: those of others may mean something else. A value that stands
    for several files is left to the class that knows how.

    Args:
        verb: such as ``fit``.
        tree: what run files and options say, as ``settings`` returns it.

    Raises:
        DataError: if a data file is not there.
        ConfigError: if another file, a checkpoint or the folder of a base is not there.
    """
    wanted = STAGES.get(verb, ())
    data = tree.get("data")
    if verb == "predict" and not any(leaf.value for _, leaf in _leaves(data, ("predict",))):
        wanted = ("test",)
    for key, leaf in _leaves(data, wanted):
        path = Path(leaf.value or "")
        if leaf.value and _is_plain(leaf.value) and not path.exists():
            raise DataError(f"data.{key} ({leaf.place}): {path}: no such file{similar(path)}")
    for part in ("data", "model"):
        for key, leaf in _leaves(tree.get(part), ALWAYS):
            path = Path(leaf.value or "")
            is_class = key.endswith("schema") and names_class(leaf.value or "")
            if leaf.value and _is_plain(leaf.value) and not is_class and not path.exists():
                raise ConfigError(f"{part}.{key} ({leaf.place}): there is no {path}{similar(path)}")
    for key, leaf in _leaves(tree.get("model"), ("backbone",)):
        if leaf.value and (wrong := missing_base(leaf.value) or no_base(leaf.value)):
            raise ConfigError(f"model.{key} ({leaf.place}): {wrong}")
    _check_checkpoint(tree.get("ckpt_path"))


def settings(options: Sequence[str]) -> dict[str, Any]:
    """Return what run files and options say, later ones over earlier ones, as a tree of ``Leaf``.

    ``init_args`` are left out of the path of a key, as they may be on the command line.
    """
    tree: dict[str, Any] = {}
    for word, following in zip(options, [*options[1:], ""], strict=False):
        name, equals, value = word.partition("=")
        value = value if equals else following
        if name in ("--config", "-c"):
            _merge(tree, _read(value))
        elif name.startswith("--") and not name.endswith("+"):
            keys = [key for key in name[2:].split(".") if key != "init_args"]
            node = _given(value)
            for key in reversed(keys):
                node = {key: node}
            _merge(tree, node)
    return tree


def _read(value: str) -> dict[str, Any]:
    found = _given(value) if value.startswith("{") else _file(Path(value))
    return found if isinstance(found, dict) else {}


def _file(path: Path) -> Any:
    root = compose(path)
    return _tree(path, root, frozenset({path.resolve()})) if root else {}


def _given(value: str) -> Any:
    """Return a value of the command line: text, the path of a fragment, a mapping or a list."""
    if value.endswith(SUFFIXES) and Path(value).is_file():
        return _file(Path(value))
    if value.startswith(("{", "[")):
        try:
            root = yaml.compose(whole(value), Loader=yaml.SafeLoader)
        except yaml.YAMLError:
            return Leaf(None, TYPED)
        return _tree(Path(), root, frozenset()) if root else {}
    return Leaf(None if value in ("null", "") else at_home(value), TYPED)


def _tree(path: Path, node: yaml.Node, seen: frozenset[Path]) -> Any:
    if isinstance(node, yaml.MappingNode):
        tree: dict[str, Any] = {}
        for key, value in node.value:
            inner = _tree(path, value, seen)
            _merge(tree, inner if key.value == "init_args" and isinstance(inner, dict) else {key.value: inner})
        return tree
    if isinstance(node, yaml.SequenceNode):
        return [_tree(path, item, seen) for item in node.value]
    value = resolved(node.value, path.parent)
    fragment = path.parent / value
    if value.endswith(SUFFIXES) and fragment.is_file() and fragment.resolve() not in seen:
        root = compose(fragment)
        return _tree(fragment, root, seen | {fragment.resolve()}) if root else {}
    place = f"{path}:{node.start_mark.line + 1}" if path.name else TYPED
    return Leaf(None if node.tag.endswith(":null") else value, place)


def _merge(tree: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            _merge(tree[key], value)
        else:
            tree[key] = value


def _leaves(node: Any, wanted: Sequence[str], prefix: str = "") -> Iterator[tuple[str, Leaf]]:
    """Yield the values of certain keys of this project's classes, mappings of them included, and the key of each."""
    if isinstance(node, list):
        for item in node:
            yield from _leaves(item, wanted, prefix)
    if not isinstance(node, dict) or not _is_ours(node.get("class_path")):
        return
    for key, value in node.items():
        inner = value.items() if isinstance(value, dict) and key in wanted else [("", value)]
        found = [(f"{prefix}{key}{f'.{name}' * bool(name)}", leaf) for name, leaf in inner if isinstance(leaf, Leaf)]
        if key in wanted:
            yield from found
        else:
            yield from _leaves(value, wanted, f"{prefix}{key}.")


def _is_ours(class_path: Any) -> bool:
    path = class_path.value or "" if isinstance(class_path, Leaf) else ""
    return "." not in path or path.startswith("lit_llm.")


def _is_plain(value: str) -> bool:
    """Whether a value names one file as it is."""
    return not set("{}*?[]\n") & set(value) and "://" not in value


def _check_checkpoint(leaf: Any) -> None:
    if not isinstance(leaf, Leaf) or leaf.value in (None, "best", "last", "none") or Path(leaf.value or "").exists():
        return
    path = Path(leaf.value or "")
    raise ConfigError(f"ckpt_path: there is no {path}{similar(path)}; best, last and none are those of the run folder")
