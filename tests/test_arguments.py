"""Help and configurations come without heavy imports, and run; mistakes are found in their file."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from lit_llm.__main__ import main
from lit_llm.arguments import configuration_errors, mistakes, run_files
from lit_llm.arguments.parser import Parser
from lit_llm.errors import ConfigError
from lit_llm.quiet import quiet

NEVER = {"peft", "bitsandbytes", "torchao"}
HEAVY = {
    "accelerate",
    "datasets",
    "jsonschema",
    "llguidance",
    "matplotlib.pyplot",
    "pandas",
    "pyarrow",
    "sacrebleu",
    "scipy",
    "sklearn",
    "tensorboard",
    "transformers.modeling_utils",
}
DEMO = "configs/run/extraction_tiny.yaml"
ALL_PARTS = """
model:
  init_args:
    adapter: {class_path: %s}
    loading: {dtype: float32}
    generator:
      class_path: lit_llm.generation.Generator
      init_args: {constraint: {class_path: lit_llm.generation.JsonSchemaConstraint}}
"""

PROGRAM = """
import contextlib, json, sys
import lightning.pytorch.cli
before = set(sys.modules)
from lit_llm.__main__ import main
with open(sys.argv[1], "w") as file, contextlib.redirect_stdout(file):
    try:
        status = main(sys.argv[2:])
    except SystemExit as stop:
        status = stop.code
assert not status, status
print(json.dumps([sorted(sys.modules), sorted(set(sys.modules) - before)]))
"""


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """A file that names a class of every kind, each with a constructor that the parser reads."""
    path = tmp_path_factory.mktemp("parts") / "parts.yaml"
    path.write_text(ALL_PARTS % "lit_llm.adapters.AdaLoRA")
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["--help=all"], id="help"),
        pytest.param(["--config", DEMO, "--config", "PARTS", "--print_config"], id="print_config"),
    ],
)
def test_nothing_heavy_is_imported(options: list[str], parts: Path, root: Path, tmp_path: Path) -> None:
    options = [str(parts) if option == "PARTS" else option for option in options]
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "out"), "fit", *options]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    loaded, added = json.loads(done.stdout)
    assert (tmp_path / "out").read_text().count("\n") > 50
    assert {name.partition(".")[0] for name in loaded} & NEVER == set()
    assert [name for name in added if name in HEAVY or name.startswith("transformers.models.")] == []


def test_a_printed_configuration_runs(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "argv", ["lit_llm"])
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")
    rows, printed = tmp_path / "rows.jsonl", tmp_path / "elsewhere" / "printed.yaml"
    rows.write_text('{"text": "dame 2 panes", "json": {"items": [{"cant": 2, "prod": "pan"}]}}\n' * 2)
    changes = {"data.init_args.train": rows, "data.init_args.valid": rows, "trainer.default_root_dir": tmp_path / "run"}
    changes |= {"model.init_args.generator.init_args.max_new_tokens": 4, "data.init_args.augmentation_factor": 1}
    options = [word for key, value in changes.items() for word in (f"--{key}", str(value))]
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", DEMO, *options, "--print_config"])
    assert stop.value.code == 0
    printed.parent.mkdir()
    printed.write_text(capsys.readouterr().out)
    assert main(["fit", "--config", str(printed), "--trainer.fast_dev_run", "1"]) == 0


@pytest.mark.parametrize(
    ("given", "taken_back"),
    [
        ("--model.generator.per_source 3", "--model.generator.per_source null"),
        ("--model.generator.constraint lit_llm.generation.JsonSchemaConstraint", "--model.generator.constraint null"),
        ("--data.augmenter.seed 3", "--data.augmenter.seed=null"),
        ("--data.instruction hola", "--data.instruction null"),
    ],
)
def test_null_takes_back_what_a_run_file_says_at_any_depth(
    given: str, taken_back: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["fit", "--config", "configs/run/extraction_tiny.yaml", *given.split(), *taken_back.split()]
    with pytest.raises(SystemExit) as end:
        main([*options, "--print_config"])
    assert end.value.code == 0
    name = taken_back.replace("=", " ").split()[0].rpartition(".")[2]
    assert re.search(rf"^ +{name}: null$", capsys.readouterr().out, re.MULTILINE)


def test_only_noise_is_silenced() -> None:
    quiet()
    quiet()
    for name, noise in {
        "lightning.pytorch.utilities.rank_zero": "💡 Tip: For seamless cloud logging, try installing [litlogger]",
        "bitsandbytes.backends.cpu.ops": "Failed to load CPU gemm_4bit_forward from kernels-community: no",
    }.items():
        logger = logging.getLogger(name)
        assert not logger.filter(record(noise))
        assert logger.filter(record("GPU available: False"))


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("x", logging.WARNING, "x", 1, text, None, None)


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (int, "a whole number"),
        (float | None, "a number or null"),
        (Literal["a", "b"], "one of a, b"),
        (Literal[1, 2] | Literal["x"] | None, "one of 1, 2, x or null"),
        (list[str], "a list of text"),
        (dict[str, Any], "a mapping of text to anything"),
        (Parser, "a class_path of lit_llm.arguments.Parser"),
        (logging.Logger | None, "a class_path of logging.Logger or null"),
    ],
)
def test_types_in_words(hint: Any, words: str) -> None:
    assert mistakes.in_words(hint) == words


@pytest.mark.parametrize(
    ("name", "near"),
    [("Batch_Size", "batch_size"), ("batchsize", "batch_size"), ("rr", "r"), ("batch", "batch_size"), ("zzz", None)],
)
def test_nearest(name: str, near: str | None) -> None:
    assert mistakes.nearest(name, ["r", "batch_size", "rank_pattern"]) == near


FILES = {
    "run.yaml": "model:\n  parts:\n    - {name: a}\n    - {name: b,\n       size: 3}\n  more: parts/more.yaml\n"
    "data+: [1]\n",
    "parts/more.yaml": "# the rest\ndeep: {x: 1,\n  y: last.yaml}\n",
    "parts/last.yaml": "- z: 9\n",
}


@pytest.mark.parametrize(
    ("key", "needle", "places"),
    [
        ("model", None, ["run.yaml:1"]),
        ("model.init_args.parts", None, ["run.yaml:2"]),
        ("model.parts.name", None, ["run.yaml:3", "run.yaml:4"]),
        ("model.parts.name", "b", ["run.yaml:4"]),
        ("model.parts", "3", ["run.yaml:5"]),
        ("model.parts.name", "c", []),
        ("data", "1", ["run.yaml:7"]),
        ("model.more.deep.init_args.y", "last.yaml", ["parts/more.yaml:3"]),
        ("model.more.deep.y.z", "9", ["parts/last.yaml:1"]),
        ("absent", None, []),
    ],
)
def test_where_a_key_stands(
    key: str, needle: str | None, places: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    assert run_files.find(Path("run.yaml"), key, needle) == places
    run_files.check(Path("run.yaml"))


def test_a_fragment_is_checked_with_its_run_file(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("model: part.yaml\n")
    (tmp_path / "part.yaml").write_text("a: 1\nb: [\n")
    with pytest.raises(ConfigError, match=r"part\.yaml:3:1: is not YAML"):
        run_files.check(tmp_path / "run.yaml")


def test_fragments_that_name_each_other_end(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("model: part.yaml\n")
    (tmp_path / "part.yaml").write_text("again: part.yaml\n")
    run_files.check(tmp_path / "run.yaml")


def test_run_files_of_a_command_line() -> None:
    words = ["fit", "--config", "a.yaml", "--config=b.yaml", "-c", "c.yaml", "--config", "{trainer: 1}", "--config"]
    assert run_files.named_in(words) == [Path("a.yaml"), Path("b.yaml"), Path("c.yaml")]


def test_what_cannot_be_explained_is_shortened() -> None:
    message = "\n".join(
        ["Subtypes: [x]", "Given value: NestedArg(key='x', val='1')", *(f"line {i}" for i in range(40))]
    )
    lines = mistakes.explain(Parser(), None, "", message).text.splitlines()
    assert len(lines) == mistakes.MAX_LINES
    assert lines[0] == "line 0"
    assert "LIT_LLM_DEBUG=1" in lines[-1]


def test_a_metric_that_is_never_logged() -> None:
    said = (
        "Early stopping conditioned on metric `val/lss` which is not available. Modify your `EarlyStopping`: `val/loss`"
    )
    match = r"monitor: no metric is called val/lss; did you mean 'val/loss'\?"
    with pytest.raises(ConfigError, match=match), configuration_errors([]):
        raise RuntimeError(said)


def test_an_error_of_the_code_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="shape"), configuration_errors([]):
        raise RuntimeError("shape mismatch")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with a run file whose paths are its own, and a fragment in a folder below."""
    folder = tmp_path / "año nuevo"
    (folder / "parts").mkdir(parents=True)
    (folder / "parts/data.yaml").write_text(
        "class_path: lit_llm.data.ExtractionData\n"
        "init_args: {train: '{here}/t.jsonl', test: {one: '{here}/../x.jsonl'}, instruction: '{here}: {text}'}\n"
    )
    (folder / "run.yaml").write_text(
        "model:\n  class_path: lit_llm.models.CausalLM\n  init_args: {backbone: '{here}/base'}\n"
        "data: '{here}/parts/data.yaml'\ntrainer: {default_root_dir: '{here}', max_epochs: 1}\n"
    )
    return folder


def test_here_is_the_folder_of_the_file_that_says_it(here, monkeypatch, capsys):
    monkeypatch.chdir(here.parent)
    with pytest.raises(SystemExit):
        main(["fit", "--config", f"{here.name}/run.yaml", "--print_config"])
    out = yaml.safe_load(capsys.readouterr().out)
    assert out["model"]["init_args"]["backbone"] == str(here / "base")
    assert out["trainer"]["default_root_dir"] == str(here)
    data = out["data"]["init_args"]
    assert (data["train"], data["test"]) == (str(here / "parts/t.jsonl"), {"one": str(here / "x.jsonl")})
    assert data["instruction"] == "{here}: {text}"


def test_here_without_quotes_is_said_as_what_it_is(here, capsys):
    (here / "run.yaml").write_text("trainer:\n  default_root_dir: {here}/runs\n")
    assert main(["fit", "--config", str(here / "run.yaml")]) == 1
    assert '"{here}/train.jsonl"' in capsys.readouterr().err
