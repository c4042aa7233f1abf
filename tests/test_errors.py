"""Every mistake in data or configuration is answered on one screen: where it is, what is wrong, what to do."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lit_llm.__main__ import main
from lit_llm.data import ExtractionData

GOOD = b'{"text": "dame 2 panes", "json": {"n": 2}}\n'


def row(**changes: Any) -> bytes:
    return json.dumps({"text": "a", "json": {"n": 1}, **changes}).encode() + b"\n"


def data(content: bytes, *expected: str, name: str = "rows.jsonl", options: tuple[str, ...] = ()) -> Any:
    return {name: content}, ("--data.init_args.train", name, *options), expected


def written(text: str, *expected: str) -> Any:
    return {"more.yaml": text.encode()}, ("--config", "more.yaml"), expected


def typed(options: str, *expected: str) -> Any:
    return {}, tuple(options.split()), expected


# The files that are written, the options that are given, and what the error must hold.
DATA = {
    "broken JSON": data(GOOD + b'{"text" "a"}\n', "rows.jsonl:2: is not JSON: Expecting ':' delimiter at column 9"),
    "cut line": data(GOOD + GOOD[:20], "rows.jsonl:2: is not JSON", "at column"),
    "missing field": data(GOOD + b'{"text": "a"}\n', "rows.jsonl:2: field 'json': is missing; there are 'text'"),
    "misspelt field": data(
        GOOD.replace(b'"json"', b'"jsno"'), "rows.jsonl:1: field 'json': is missing; did you mean 'jsno'?"
    ),
    "wrong type": data(GOOD + row(text=7), "rows.jsonl:2: field 'text': must be a string, got the number 7"),
    "scalar for JSON": data(
        row(json=3), "rows.jsonl:1: field 'json': must be a JSON object or array, got the number 3"
    ),
    "null": data(row(text=None), "rows.jsonl:1: field 'text': is null; give it a value or remove the record"),
    "blank text": data(row(text="  "), "rows.jsonl:1: field 'text': is blank; give it a value"),
    "invalid UTF-8": data(GOOD + b'{"text": "caf\xe9"}', "rows.jsonl:2: is not UTF-8: 0xe9 at byte 14 of the line"),
    "UTF-16": data(GOOD.decode().encode("utf-16"), "rows.jsonl:1: is UTF-16; set data.init_args.encoding"),
    "duplicate ids": data(
        row(id="k") + GOOD + row(id="k"), "rows.jsonl:3: field 'id': 'k' is already the id of rows.jsonl:1"
    ),
    "duplicate keys": data(b'{"text": "a", "text": "b", "json": {}}', "rows.jsonl:1: field 'text': occurs twice"),
    "NaN": data(row(json={"a": [{"n": float("nan")}]}), "rows.jsonl:1: field 'json.a[0].n': NaN is not JSON; use null"),
    "infinity": data(row(json={"n": float("inf")}), "rows.jsonl:1: field 'json.n': Infinity is not JSON"),
    "empty file": data(b"", "rows.jsonl: holds no records; is it the right file"),
    "10 MB line": data(
        GOOD + b'{"text": "' + b"a" * 10_000_000,
        "rows.jsonl:2: is longer than 1,048,576 bytes; split the record or raise",
    ),
    "one JSON array": data(
        b"[" + GOOD.strip() + b"]",
        "rows.jsonl:1: is a JSON array; name the file .json",
    ),
    "deep nesting": data(
        b'{"text": "a", "json": ' + b"[" * 100_000 + b"}", "rows.jsonl:1: is nested deeper than 64 levels"
    ),
    "CSV without a column": data(
        b"text,jsno\na,{}\n",
        "rows.csv:1: field 'json': is missing from the header; did you mean 'jsno'?",
        name="rows.csv",
    ),
    "short CSV row": data(
        b"text,json\na,{}\nb\n", "rows.csv:3: field 'json': the row has 1 value for 2 columns", name="rows.csv"
    ),
    "open CSV quote": data(b'text,json\n"a,{}\n', "rows.csv:2: is not CSV", "is a quote left open", name="rows.csv"),
    "cut Parquet file": data(b"PAR1 cut", "rows.parquet: is not a readable Parquet file", name="rows.parquet"),
    "unknown extension": data(GOOD, "rows.txt: the extension '.txt' is not one of .jsonl", name="rows.txt"),
    "absent file": typed("--data.init_args.train god.jsonl", "god.jsonl: no such file", "good.jsonl"),
    "another schema": data(
        GOOD + row(json={"n": "two"}),
        "rows.jsonl:2: field 'json' at $.n: 'two' is not of type 'integer'",
        options=("--data.init_args.schema", "schema.json"),
    ),
    "too long": data(
        GOOD + row(text="pan " * 300),
        "rows.jsonl:2: ",
        "max_length",
        options=("--data.init_args.max_length", "64"),
    ),
}

LORA = "model:\n  init_args:\n    adapter:\n      class_path: lit_llm.adapters.LoRA\n"
GENERATOR = "model:\n  init_args:\n    generator:\n      class_path: lit_llm.generation.Generator\n      init_args:\n"

CONFIGURATION = {
    "option of an adapter": typed(
        "--model.init_args.adapter LoRA --model.init_args.adapter.init_args.rr 4",
        "model.init_args.adapter.init_args.rr (on the command line): not an option of lit_llm.adapters.LoRA",
        "did you mean 'r'?",
    ),
    "option of a model": typed(
        "--model.init_args.adaptor x",
        "model.init_args.adaptor (on the command line): not an option of lit_llm.models.CausalLM",
        "did you mean 'adapter'?",
    ),
    "shortened option": typed("--data.batchsize 3", "data.init_args.batchsize", "did you mean 'batch_size'?"),
    "option of the trainer": typed("--trainer.max_epoch 3", "trainer.max_epoch", "did you mean 'trainer.max_epochs'?"),
    "first word": typed("--modle.init_args.merge true", "did you mean 'model.init_args.merge'?"),
    "option of other tools": typed("--batch_size 3", "type --data.batch_size 3"),
    "no value": typed("--trainer.max_epochs", "trainer.max_epochs (on the command line): needs a value"),
    "text for a number": typed(
        "--data.init_args.batch_size many", "data.init_args.batch_size", "must be a whole number, got many"
    ),
    "zero": typed("--data.init_args.batch_size 0", "data.batch_size (on the command line): must be at least 1, got 0"),
    "class": typed(
        "--model.class_path lit_llm.models.CausalLMM", "model.class_path", "did you mean lit_llm.models.CausalLM?"
    ),
    "none of the choices": typed(
        "--model.init_args.schedule.name cosin",
        "model.init_args.schedule.name",
        "must be one of cosine, linear, constant, wsd, got cosin; did you mean 'cosine'?",
    ),
    "precision": typed("--trainer.precision fp8", "trainer.precision", "bf16-mixed", "got fp8"),
    "strategy": typed("--trainer.strategy dpp", "trainer.strategy (on the command line)", "invalid strategy name"),
    "accelerator": typed("--trainer.accelerator gpuu", "trainer.accelerator (on the command line)", "cpu"),
    "run file": typed("--config rnu.yaml", "there is no file rnu.yaml; did you mean run.yaml?"),
    "fragment": typed("--model.init_args.adapter parts/lorra.yaml", "there is no file parts/lorra.yaml; did you mean"),
    "checkpoint": typed("--ckpt_path nowhere.ckpt", "ckpt_path: there is no nowhere.ckpt"),
    "key of the file": written("modle: x\n", "modle (more.yaml:1): not an option; did you mean 'model'?"),
    "key of the trainer": written(
        "trainer:\n  max_epoch: 3\n", "trainer.max_epoch (more.yaml:2)", "did you mean 'trainer.max_epochs'?"
    ),
    "key of an adapter": written(
        LORA + "      init_args: {rr: 4}\n",
        "model.init_args.adapter.init_args.rr (more.yaml:5): not an option of lit_llm.adapters.LoRA; did you mean 'r'?",
    ),
    "key beside the class": written(
        LORA + "      r: 4\n",
        "model.init_args.adapter.r (more.yaml:5): stands beside class_path; move it into init_args",
    ),
    "key of the class": written(
        "data:\n  class_paht: x\n", "data.class_paht (more.yaml:2)", "did you mean 'class_path'?"
    ),
    "key of another class": written(
        LORA + "      init_args: {batch_size: 4}\n",
        "batch_size (more.yaml:5)",
        "an option of lit_llm.data.DocumentsData, lit_llm.data.ExtractionData",
    ),
    "key of the optimizer": written(
        "model:\n  init_args:\n    optimizer:\n      class_path: torch.optim.AdamW\n      init_args: {lrr: 0.1}\n",
        "model.init_args.optimizer.init_args.lrr (more.yaml:5): not an option of torch.optim.AdamW; did you mean 'lr'?",
    ),
    "key inside a fragment": written(
        "model:\n  init_args:\n    adapter: parts/wrong.yaml\n",
        "model.init_args.adapter.init_args.alhpa (parts/wrong.yaml:2)",
        "did you mean 'alpha'?",
    ),
    "fragment of a file": written(
        "model:\n  init_args:\n    adapter: parts/lorra.yaml\n",
        "model.init_args.adapter (more.yaml:3): there is no file parts/lorra.yaml; did you mean parts/lora.yaml?",
    ),
    "class of a callback": written(
        "trainer:\n  callbacks:\n    - class_path: lit_llm.callbacks.LabelAudits\n",
        "trainer.callbacks.class_path (more.yaml:3)",
        "did you mean lit_llm.callbacks.LabelAudit?",
    ),
    "class of a metric": written(
        "model:\n  init_args:\n    metrics:\n      - class_path: lit_llm.metrics.ExtractionMetric\n",
        "model.init_args.metrics.class_path (more.yaml:4)",
        "did you mean lit_llm.metrics.ExtractionMetrics?",
    ),
    "class of another kind": written(
        "data:\n  class_path: lit_llm.adapters.LoRA\n",
        "data.class_path (more.yaml:2): lit_llm.adapters.LoRA is no lit_llm.data.LMData; choose from",
    ),
    "type of a value": written(
        GENERATOR + "        num_beams: 1.5\n", "num_beams (more.yaml:6): must be a whole number, got 1.5"
    ),
    "number for text": written(
        "model:\n  init_args:\n    backbone: 3\n", 'backbone (more.yaml:3): must be text, got 3; write "3"'
    ),
    "null for a number": written(
        "data:\n  init_args:\n    batch_size: null\n", "data.init_args.batch_size (more.yaml:3): must not be null"
    ),
    "list in a mapping": written(
        "data:\n  init_args:\n    test: {known: [1]}\n",
        "data.init_args.test",
        "must be a mapping of text to text or null",
    ),
    "argument that is required": written(
        "trainer:\n  callbacks:\n    - class_path: lightning.pytorch.callbacks.EarlyStopping\n",
        "trainer.callbacks.init_args.monitor: not set; lightning.pytorch.callbacks.EarlyStopping needs it",
    ),
    "impossible value": written(
        "model:\n  init_args:\n    schedule: {warmup: -1}\n", "model.schedule.warmup (more.yaml:3): must be at least 0"
    ),
    "no mapping": written("trainer: 3\n", "trainer (more.yaml:1): must hold keys such as max_epochs"),
    "list as run file": written("- model\n", "more.yaml:1: must hold keys such as model, data and trainer"),
    "empty run file": written("", "more.yaml:1: must hold keys such as model, data and trainer, but holds nothing"),
    "key that is there twice": written(
        "trainer:\n  max_epochs: 1\n  max_epochs: 2\n", "more.yaml:3: key 'max_epochs' is already on line 2; keep one"
    ),
    "two tests of one name": written(
        "data:\n  init_args:\n    test: {known: a.jsonl, known: b.jsonl}\n",
        "more.yaml:3: key 'known' is already on line 3",
    ),
    "YAML syntax": written("model:\n  init_args: [1, 2\n  x: 3\n", "more.yaml:3:4: is not YAML: expected ',' or ']'"),
    "tab": written("model:\n\tinit_args: 1\n", "more.yaml:2:1: is not YAML", "indent with spaces, not tabs"),
    "run file in latin-1": (
        {"more.yaml": "seed_everything: 0\n# año\n".encode("latin-1")},
        ("--config", "more.yaml"),
        ("more.yaml:2: is not UTF-8; save it as UTF-8",),
    ),
}

CASES = [
    pytest.param(*case, id=f"{kind}: {name}")
    for kind, cases in (("data", DATA), ("configuration", CONFIGURATION))
    for name, case in cases.items()
]


@pytest.fixture
def folder(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a run file that works."""
    settings = {
        "seed_everything": 0,
        "model": {
            "class_path": "lit_llm.models.CausalLM",
            "init_args": {"backbone": str(root / "checkpoints/qwen3-tiny")},
        },
        "data": {"class_path": "lit_llm.data.ExtractionData", "init_args": {"train": "good.jsonl"}},
        "trainer": {"default_root_dir": "run", "accelerator": "cpu", "logger": False, "fast_dev_run": True},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "good.jsonl").write_bytes(GOOD)
    (tmp_path / "schema.json").write_text('{"properties": {"n": {"type": "integer"}}}')
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/lora.yaml").write_text("class_path: lit_llm.adapters.LoRA\n")
    (tmp_path / "parts/wrong.yaml").write_text("class_path: lit_llm.adapters.LoRA\ninit_args: {alhpa: 4}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["lit_llm"])
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")
    return tmp_path


@pytest.mark.parametrize(("files", "options", "expected"), CASES)
def test_a_mistake_is_answered_on_one_screen(
    files: dict[str, bytes],
    options: tuple[str, ...],
    expected: tuple[str, ...],
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    status = main(["fit", "--config", "run.yaml", *options])
    said = capsys.readouterr().err
    assert status == 1
    error = said[said.index("error: ") :]
    for part in expected:
        assert part in error
    lines = said.splitlines()
    assert sum(1 + len(line) // 200 for line in lines) <= 20
    assert len(error.splitlines()) <= 4
    assert "Traceback" not in said
    assert "NoneType" not in said


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv"])
def test_byte_order_marks_and_both_line_ends_are_fine(name: str, mark: bytes, end: bytes, tmp_path: Path) -> None:
    lines = [GOOD.strip(), row().strip()] if name.endswith("jsonl") else [b"text,json", b'dame 2 panes,"{""n"": 2}"']
    (tmp_path / name).write_bytes(mark + end.join(lines) + end)
    first = ExtractionData(train=name).read(tmp_path / name)[0]
    assert (first.text, first.reference) == ("dame 2 panes", {"n": 2})


def test_a_run_file_may_have_them_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "more.yaml").write_bytes(b"\xef\xbb\xbftrainer:\r\n  max_epochs: 7\r\n")
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", "run.yaml", "--config", "more.yaml", "--print_config"])
    assert stop.value.code == 0
    assert yaml.safe_load(capsys.readouterr().out)["trainer"]["max_epochs"] == 7


def test_all_that_was_tried_is_shown_on_request(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIT_LLM_DEBUG", "1")
    with pytest.raises(Exception, match=r"Does not validate against any of the Union subtypes"):
        main(["fit", "--config", "run.yaml", "--data.batchsize", "3"])
