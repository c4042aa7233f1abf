"""What people type first: options, verbs and paths of other tools or of the wrong kind, and the help."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightning.pytorch import Trainer

from lit_llm.__main__ import LOOPS, VERBS, main
from lit_llm.arguments import Parser, inputs, short_help
from lit_llm.arguments.foreign import FOREIGN, find
from lit_llm.arguments.misplaced import MEANT
from lit_llm.data.base import LMData
from lit_llm.models.base import LitLM

DEMO = "configs/run/extraction_tiny.yaml"
NEVER = ("torch", "lightning", "transformers", "peft", "jsonargparse", "numpy")


@pytest.fixture(scope="module")
def parser() -> Parser:
    """A parser of every option that a run file's verbs have."""
    parser = Parser(prog="test", exit_on_error=True)
    parser.add_argument("--config", action="config")
    for name, kind in (("seed_everything", int), ("ckpt_path", str), ("predictions", str), ("overwrite", bool)):
        parser.add_argument(f"--{name}", type=kind)
    parser.add_lightning_class_args(Trainer, "trainer")
    parser.add_lightning_class_args(LitLM, "model", subclass_mode=True)
    parser.add_lightning_class_args(LMData, "data", subclass_mode=True)
    return parser


def value(config: Any, option: str) -> Any:
    """Return what a configuration holds for an option of the command line, ``init_args`` left out of it."""
    for key in option.removeprefix("--").split("."):
        config = config.get("init_args", config) if key not in config else config
        config = config[key]
    return config


def accepted(parser: Parser, lines: Iterable[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Check that a parser takes options, and that the configuration then holds their values; return how many."""
    options = [pair for line in lines for pair in pairwise(shlex.split(line)) if pair[0].startswith("--")]
    groups: list[dict[str, str]] = []
    for option, given in options:
        # Parsing takes a second, so those are tried together of which none is part of another.
        free = (group for group in groups if not any(_overlap(option, other) for other in group))
        group = next(free, None)
        if group is None:
            groups.append(group := {})
        group[option] = given
    for group in groups:
        typed = [word for pair in group.items() for word in pair]
        monkeypatch.setattr(sys, "argv", ["lit_llm", "fit", *typed])
        config = parser.parse_args(["--config", DEMO, *typed]).as_dict()
        for option, given in group.items():
            found, wanted = value(config, option), yaml.safe_load(given)
            if isinstance(found, dict):
                assert given.endswith(".yaml") or found["class_path"].endswith(given), (option, found)
            else:
                found = list(found) if isinstance(found, tuple) else found
                assert found in (wanted, given) or float(found) == float(wanted), (option, found)
    return len(options)


def _overlap(option: str, other: str) -> bool:
    return f"{option}.".startswith(f"{other}.") or f"{other}.".startswith(f"{option}.")


def test_what_is_named_for_an_option_of_other_tools_is_accepted(
    parser: Parser, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    heres = list({id(here): here for here in FOREIGN.values()}.values())
    lines = [here.typed(given) for here in heres for given in ("", *here.values)]
    plain = [line for line in lines if "--config" not in line and "callbacks" not in line]
    assert accepted(parser, plain, monkeypatch) > 60
    for here in heres:
        named = {word for word in here.note.replace("`", " ").split() if word in VERBS}
        assert here.options or named, here


def test_what_is_named_for_early_stopping_is_accepted(
    parser: Parser, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    typed = shlex.split(find("--patience").typed("5"))
    callbacks = parser.parse_args(["--config", DEMO, *typed]).as_dict()["trainer"]["callbacks"]
    assert callbacks[-1]["class_path"].endswith("EarlyStopping")
    assert callbacks[-1]["init_args"]["patience"] == 5
    assert len(callbacks) > 5


def test_no_option_of_this_project_is_taken_for_one_of_others(parser: Parser) -> None:
    own = {action.dest for action in parser._actions if "." not in action.dest}
    assert {"config", "seed_everything", "ckpt_path", "model", "data", "trainer"} <= own
    assert [name for name in own if find(name)] == []
    assert find("--model", "Qwen/Qwen3-4B") is find("--model_name_or_path")
    assert find("--model", "lit_llm.models.CausalLM") is None
    assert find("--model", "configs/model.yaml") is None
    assert find("--data", "corpus.jsonl") is find("--dataset")


FORTY = """lr=3e-5 learning_rate=1e-4 epochs=2 num_train_epochs=3.0 batch_size=16 per_device_train_batch_size=4
gradient_accumulation_steps=8 resume=true resume_from_checkpoint=true output_dir=out model_name_or_path=Qwen/Qwen3-4B
model=meta/llama-7b dataset=alpaca lora_r=64 lora_alpha=16 lora_rank=4 bf16=true fp16=true seed=7 max_length=99
max_seq_length=2048 cutoff_len=512 warmup_ratio=0.1 warmup_steps=20 weight_decay=0.1 max_steps=50 logging_steps=5
save_steps=500 eval_steps=20 deepspeed=ds.json load_in_4bit=true target_modules=q_proj num_workers=4 device=cuda gpus=2
report_to=wandb lr_scheduler_type=linear max_new_tokens=12 temperature=0.2 gradient_checkpointing=true packing=true
val_size=0.1 run_name=second seeds=3 early_stopping_patience=2 top-p=0.8 load-in-8bit=true do_train=true"""
CARRIED = {
    "lr": "--model.optimizer.lr 3e-5",
    "num_train_epochs": "--trainer.max_epochs 3",
    "resume": "--ckpt_path last",
    "output_dir": "--trainer.default_root_dir out",
    "model": "--model.backbone meta/llama-7b",
    "fp16": "--trainer.precision",
    "device": "--trainer.accelerator gpu",
    "report_to": "--trainer.logger WandbLogger",
    "lr_scheduler_type": "--model.schedule.name linear",
    "run_name": "--trainer.default_root_dir checkpoints/second",
    "top-p": "--model.generator.top_p 0.8",
}


def test_what_people_type_first_names_what_does_it_here(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    for option in FORTY.split():
        name, _, given = option.partition("=")
        for typed in ([f"--{option}"], [f"--{name}", given], [f"-{name}", given]):
            assert main(["fit", "--config", DEMO, *typed]) == 1
            said = capsys.readouterr().err
            assert said.startswith(f"error: {typed[0].partition('=')[0]}: an option of other tools; type ")
            assert CARRIED.get(name, "") in said


def test_several_at_once_are_all_named(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    assert main(["fit", "--config", DEMO, "--lr", "1e-5", "--bf16", "--num_epochs=4"]) == 1
    said = capsys.readouterr().err
    for here in ("--model.optimizer.lr 1e-5", "--trainer.precision bf16-mixed", "--trainer.max_epochs 4"):
        assert here in said


@pytest.mark.parametrize(
    ("typed", "here"),
    [
        ("--model.lr 1e-4", "--model.optimizer.lr 1e-4"),
        ("--trainer.output_dir x", "--trainer.default_root_dir x"),
        ("--data.max_seq_length 64", "--data.max_length 64"),
        ("--model.adapter.rank 4", "--model.adapter.r 4"),
    ],
)
def test_an_option_at_the_wrong_part_names_the_right_one(
    typed: str, here: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    assert main(["fit", "--config", DEMO, *typed.split()]) == 1
    assert here in capsys.readouterr().err


def test_a_verb_of_other_tools_names_one_of_this() -> None:
    assert {command.split()[0] for command in MEANT.values()} <= VERBS.keys()
    assert not MEANT.keys() & VERBS.keys()


WRONG = {
    "fit RUN.yaml": "python -m lit_llm fit --config RUN.yaml",
    "fit run": "python -m lit_llm fit --config run/config.yaml --ckpt_path last",
    "test run": "python -m lit_llm test --config run/config.yaml",
    "predict run --predictions out.csv": "python -m lit_llm predict --config run/config.yaml",
    "predict texts.csv": "--data.predict texts.csv",
    "validate rows.jsonl": "--data.valid rows.jsonl",
    "test run/best.ckpt": "python -m lit_llm test --config run/config.yaml --ckpt_path run/best.ckpt",
    "audit RUN.yaml": "python -m lit_llm audit --config RUN.yaml",
    "fit --config RUN.yaml trainer.max_epochs=3": "--trainer.max_epochs=3",
    "fit lr=0.1": "--model.optimizer.lr 0.1",
    "test bases/qwen3-8": "there is no folder bases/qwen3-8; did you mean bases/qwen3-8b?",
    "report rum": "there is no run folder rum; did you mean run?",
    "ask --run bases hola": "--run: bases is no run folder",
    "fit Qwen/Qwen3-0.6B": "--model.backbone Qwen/Qwen3-0.6B",
    "fit": "config: not set; name a run file",
    "fit --config RAN.yaml": "there is no file RAN.yaml; did you mean RUN.yaml?",
    "test --config run": "run is a run folder; name the file in it: --config run/config.yaml",
    "fit --config RUN.yaml": "data.train (RUN.yaml:3): trian.jsonl: no such file; did you mean train.jsonl?",
    "validate --config RUN.yaml --config part.yaml": "data.valid (part.yaml:2)",
    "test --config RUN.yaml": "data.test.two (RUN.yaml:5): {here}/tset.jsonl: no such file",
    "predict --config RUN.yaml": "data.test.two (RUN.yaml:5)",
    "predict --config RUN.yaml --data.predict=txt.csv": "data.predict (on the command line): txt.csv: no such file",
    "fit --config RUN.yaml --data.init_args.train train.jsonl --data.valid train.jsonl": "data.schema (RUN.yaml:6): "
    "there is no shcema.json; did you mean schema.json?",
    "fit --config FINE.yaml --model.backbone ./qwen": "model.backbone (on the command line): there is no folder ./qwen",
    "fit --config FINE.yaml --model.backbone run/qwen/best": "there is no folder run/qwen/best; its folder run/qwen",
    "fit --config FINE.yaml --model.backbone bases/qwen3-8": "did you mean bases/qwen3-8b?",
    "test --config FINE.yaml --ckpt_path run/bets.ckpt": "there is no run/bets.ckpt; did you mean run/best.ckpt?",
    "export --run rum --merged x": "--run: there is no run folder rum; did you mean run?",
    "quantize --run=bases --output x": "bases is no run folder",
    "compare run nowhere.csv": "run/predictions.csv: no such file; write it with python -m lit_llm predict --config",
    "gate quality nowhere.csv": "nowhere.csv: no such file",
    "split tarin.jsonl --fields text --output x": "did you mean train.jsonl?",
    "sheet score texs.csv": "did you mean texts.csv?",
    "check --backbone bases/qwen3": "did you mean bases/qwen3-8b?",
}

PROGRAM = """
import contextlib, io, json, sys
from lit_llm.__main__ import main
found = {}
for line in json.loads(sys.argv[1]):
    with contextlib.redirect_stderr(io.StringIO()) as said:
        status = main(line.split())
    found[line] = [status, said.getvalue()]
print(json.dumps([found, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of a person's files, some of them named wrongly in the run file."""
    run, part = (
        """model: {init_args: {adapter: {class_path: lit_llm.adapters.LoRA}}}
data: {class_path: lit_llm.data.ExtractionData, init_args: {
  train: trian.jsonl,
  test: {one: train.jsonl,
    two: "{here}/tset.jsonl"},
  schema: shcema.json}}
""",
        "class_path: lit_llm.data.ExtractionData",
    )
    (tmp_path / "RUN.yaml").write_text(run)
    (tmp_path / "FINE.yaml").write_text(f"data: {{{part}}}\n")
    (tmp_path / "part.yaml").write_text("data: {init_args: {\n  valid: vlaid.jsonl}}\n")
    for name in ("train.jsonl", "schema.json", "texts.csv", "run/config.yaml", "run/best.ckpt", "bases/qwen3-8b/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    return tmp_path


def test_what_is_wrong_is_told_before_anything_heavy_is_imported(folder: Path, root: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, json.dumps(list(WRONG))]
    environment = {"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found, imported = json.loads(done.stdout)
    for line, wanted in WRONG.items():
        status, said = found[line]
        assert status == 1, (line, said)
        assert wanted.replace("{here}", str(folder)) in said, (line, said)
        assert said.startswith("error: ")
    assert set(imported).isdisjoint(NEVER)


def test_what_is_right_or_not_known_is_let_through(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    own = "data: {class_path: mine.Rows, init_args: {train: anything, schema: none}}\n"
    (folder / "own.yaml").write_text(own)
    for line in (
        "fit --config own.yaml",
        "fit --config RUN.yaml --data.train train.jsonl --data.schema schema.json",
        "fit --config RUN.yaml --data.train train.{lang} --data.schema null",
        "fit --config FINE.yaml --model.backbone Qwen/Qwen3-0.6B",
        "predict --config RUN.yaml --data.predict texts.csv --data.schema schema.json",
        "test --config FINE.yaml --ckpt_path none",
    ):
        verb, *options = line.split()
        inputs.check(verb, inputs.settings(options))


@pytest.mark.parametrize("verb", VERBS)
def test_help_fits_a_screen(verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    status: Any = 0
    try:
        status = main([verb, "--help"])
    except SystemExit as stop:
        status = stop.code
    lines = capsys.readouterr().out.splitlines()
    assert not status
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 100
    assert VERBS[verb][0] != LOOPS or any(short_help.ALL in line for line in lines)


def test_what_help_shows_is_accepted(parser: Parser, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    shown = [typed for part in short_help.PARTS.values() for typed in part if not typed.startswith("--config")]
    assert accepted(parser, shown, monkeypatch) > 20
