"""The layers of the package: who may import whom, read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# From the bottom up; a room imports only from rows above its own, and from itself.
LAYERS = [
    {
        "errors",
        "moments",
        "seeding",
        "strict_json",
        "quiet",
        "tensors",
        "terminal",
        "storage",
        "thoughts",
        "version",
        "wording",
    },
    {"batch", "catalogues", "schemas", "results", "paths"},
    {"adapters", "metrics", "generation"},
    {"quantization", "retrieval", "sharing"},
    {"data", "models"},
    {"callbacks", "llama_cpp", "report"},
    {"arguments"},
    {"cli"},
    {"starting", "conformance", "planning", "serving"},
    {"commands"},
    {"__main__"},
]
# The rooms and files inside ``data``, by the same rule.
DATA_LAYERS = [
    {"days", "settings"},
    {"records", "tokens", "variants"},
    {"asking", "batches", "clips", "hygiene", "stored"},
    {"catalogues", "loaders", "passages", "shots", "table"},
    {"base"},
    {"tasks"},
]

LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
DATA_LEVEL = {room: level for level, rooms in enumerate(DATA_LAYERS) for room in rooms}

# In these rooms each file is one thing, independent of the others, so that adding one edits none.
SHARED = {
    "adapters": {"base", "peft_base", "lora_ranks", "lora_start", "fused", "targets", "coverage"},
    "quantization": {"base", "integers", "blocks"},
    "metrics": {"base", "corpus", "json_text", "json_leaves", "json_fields"},
    "data.tasks": set(),
}

HEAVY = {
    "bitsandbytes",
    "compressed_tensors",
    "gguf",
    "llguidance",
    "matplotlib",
    "pandas",
    "peft",
    "pyarrow",
    "scipy",
    "torchao",
    "transformers",
}


class Module:
    """A source file and what it imports."""

    def __init__(self, package: Path, path: Path) -> None:
        parts = path.relative_to(package).with_suffix("").parts
        self.is_room = parts[-1] == "__init__"
        self.parts = parts[:-1] if self.is_room else parts
        self.name = ".".join((package.name, *self.parts))
        self.tree = ast.parse(path.read_text(encoding="utf-8"))

    def imports(self, known: set[str]) -> Iterator[str]:
        """Yield the modules of the package that this one names anywhere, lazily or for types alone too."""
        yield from self._named(ast.walk(self.tree), known)

    def eager(self, known: set[str]) -> Iterator[str]:
        """Yield the modules of the package that are imported as soon as this one is."""
        yield from self._named(self.tree.body, known)

    def _named(self, nodes: Iterable[ast.AST], known: set[str]) -> Iterator[str]:
        for node in nodes:
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names if alias.name in known)
            elif isinstance(node, ast.ImportFrom):
                yield from self._from(node, known)

    def _from(self, node: ast.ImportFrom, known: set[str]) -> Iterator[str]:
        base = node.module or ""
        if node.level:
            own = self.name.split(".")
            base = ".".join([*own[: len(own) - node.level + self.is_room], *filter(None, [node.module])])
        for alias in node.names:
            inner = f"{base}.{alias.name}"
            yield from (name for name in [inner if inner in known else base] if name in known)

    def heavy(self) -> Iterator[str]:
        """Yield the heavy packages that are imported as soon as this module is."""
        for node in self.tree.body:
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            yield from (name for name in names if name.partition(".")[0] in HEAVY)


def violations(package: Path) -> list[str]:
    """List everything in a package that breaks a rule."""
    modules = {module.name: module for path in package.rglob("*.py") for module in [Module(package, path)]}
    graph = {name: set(module.imports(set(modules))) for name, module in modules.items()}
    found = _slow(modules)
    for name, module in modules.items():
        found += [f"{name} imports {target}{why}" for target in graph[name] if (why := _wrong(module, modules[target]))]
    return found + [f"cycle: {' -> '.join(cycle)}" for cycle in _cycles(graph)]


def _slow(modules: dict[str, Module]) -> list[str]:
    """List what makes the import of a room slow; a file that is itself imported inside functions alone may be heavy."""
    eager = {target for module in modules.values() for target in module.eager(set(modules))}
    return [f"{name} imports {heavy} at its top" for name in sorted(eager) for heavy in modules[name].heavy()]


def _wrong(source: Module, target: Module) -> str:
    if not source.parts or not target.parts:
        return ""
    room, other = source.parts[0], target.parts[0]
    if room != other:
        return _upward(room, other, LEVEL)
    if room == "data" and len(source.parts) > 1 and len(target.parts) > 1 and source.parts[1] != target.parts[1]:
        return _upward(source.parts[1], target.parts[1], DATA_LEVEL)
    shared = SHARED.get(".".join(source.parts[:-1]))
    if shared is None or source.is_room or target.is_room or target.parts[-1] in shared:
        return ""
    return ": siblings are independent"


def _upward(room: str, other: str, level: dict[str, int]) -> str:
    if unknown := {room, other} - set(level):
        return f": {unknown} has no layer"
    return "" if level[room] > level[other] else f": {other} is not below {room}"


def _cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    found: list[list[str]] = []
    finished: set[str] = set()

    def visit(name: str, path: list[str]) -> None:
        if name in path:
            found.append([*path[path.index(name) :], name])
        elif name not in finished:
            for target in sorted(graph[name]):
                visit(target, [*path, name])
            finished.add(name)

    for name in graph:
        visit(name, [])
    return found


def test_the_package_keeps_its_layers():
    assert violations(ROOT / "lit_llm") == []


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"errors": "from lit_llm.batch import Batch"}, "batch is not below errors"),
        ({"adapters/lora": "import lit_llm.models.base"}, "models is not below adapters"),
        ({"data/base": "def f():\n    from lit_llm.models import base"}, "models is not below data"),
        ({"models/base": "from ..data import base"}, "data is not below models"),
        ({"models/base": "if TYPE_CHECKING:\n    from lit_llm.data.base import LMData"}, "data is not below models"),
        ({"metrics/bleu": "from lit_llm.adapters.base import Adapter"}, "adapters is not below metrics"),
        ({"adapters/dora": "from lit_llm.adapters.lora import LoRA"}, "siblings are independent"),
        ({"adapters/dora": "from .lora import LoRA"}, "siblings are independent"),
        ({"data/tasks/sign": "from lit_llm.data.tasks.extraction import X"}, "siblings are independent"),
        ({"data/base": "def f():\n    from lit_llm.data.tasks import extraction"}, "tasks is not below base"),
        ({"data/records/reading": "from lit_llm.data.tokens import dataset"}, "tokens is not below records"),
        ({"data/hygiene/leaks": "from lit_llm.data.batches import a"}, "batches is not below hygiene"),
        ({"data/odds/ends": "from lit_llm.data.base import LMData"}, "has no layer"),
        ({"generation/a": "from . import b", "generation/b": "from . import a"}, "cycle: "),
        ({"adapters/base": "from lit_llm.adapters import LoRA", "adapters/__init__": "from . import base"}, "cycle: "),
        ({"attic/old": "from lit_llm.batch import Batch"}, "has no layer"),
        ({"adapters/__init__": "from . import lora", "adapters/lora": "import peft.tuners"}, "imports peft.tuners at"),
        ({"data/base": "from transformers import X", "cli": "import lit_llm.data.base"}, "imports transformers at its"),
    ],
)
def test_what_breaks_a_rule_is_found(tmp_path, files, message):
    found = violations(package(tmp_path, files))
    assert [line for line in found if message in line], found


@pytest.mark.parametrize(
    "files",
    [
        {"models/base": "from lit_llm.adapters import Adapter\nfrom lit_llm.batch import Batch"},
        {"adapters/dora": "from lit_llm.adapters.base import Adapter"},
        {"adapters/__init__": "from lit_llm.adapters.lora import LoRA"},
        {"data/tasks/sign": "from lit_llm.data.records import reading\nfrom lit_llm.data.base import LMData"},
        {"data/hygiene/leaks": "from lit_llm.data.tokens.dataset import Row"},
        {"data/records/reading": "from lit_llm.data.records import lines", "data/records/lines": ""},
        {"data/base": "from lit_llm.version import __version__", "version": ""},
        {"generation/engine": "from lit_llm.generation.stopping import Stop"},
        {"metrics/__init__": "from . import bleu", "metrics/bleu": "def f():\n    import scipy.optimize"},
        {"generation/engine": "def f():\n    from . import stopping", "generation/stopping": "import transformers"},
        {"metrics/bleu": "if TYPE_CHECKING:\n    import transformers"},
        {"__main__": "from lit_llm.errors import UserError"},
    ],
)
def test_what_keeps_the_rules_is_not(tmp_path, files):
    assert violations(package(tmp_path, files)) == []


def package(folder: Path, files: dict[str, str]) -> Path:
    """Write a package in which every file that a rule needs is there, empty unless given."""
    names = ["__init__", "errors", "batch", "adapters/base", "adapters/lora", "models/base", "data/base"]
    names += ["data/tasks/extraction", "data/records/reading", "data/tokens/dataset", "data/batches/a"]
    names += ["data/tasks/__init__", "data/records/__init__", "data/tokens/__init__", "data/batches/__init__"]
    names += ["generation/stopping", "adapters/__init__", *files]
    for name in names:
        path = folder / "lit_llm" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files.get(name, ""), encoding="utf-8")
    return folder / "lit_llm"
