"""Each number of a run file has a range, and one outside it is refused before anything is read or written."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Trainer

from lit_llm import adapters, callbacks, data, generation, metrics, models, quantization
from lit_llm.__main__ import main
from lit_llm.arguments import inputs, ranges
from lit_llm.errors import ConfigError
from lit_llm.models import CausalLM
from lit_llm.models.adaptor import TemporalAdaptor
from lit_llm.models.align import SignAligner
from lit_llm.models.schedule import Schedule
from lit_llm.models.sign import SignLM

IMPOSSIBLE = [
    ("data.batch_size", 0, "at least 1"),
    ("data.num_workers", -1, "at least 0"),
    ("data.max_batch_tokens", -5, "at least 1"),
    ("data.augmenter.probability", 1.01, "at most 1"),
    ("model.generate_every", 0, "at least 1"),
    ("model.label_smoothing", 1.5, "below 1"),
    ("model.label_smoothing", 1.0, "below 1"),
    ("model.gradient_checkpointing", 2, "at most 1"),
    ("model.adapter.dropout", 1.5, "below 1"),
    ("model.adapter.dropout", -0.1, "at least 0"),
    ("model.adapter.alpha", 0, "above 0"),
    ("model.adapter.rank_pattern.q_proj", 0, "at least 1"),
    ("model.optimizer.lr", -1e-4, "at least 0"),
    ("model.optimizer.betas", [0.9, 1.0], "below 1"),
    ("model.schedule.decay", 0, "above 0"),
    ("model.generator.top_p", ".nan", "above 0"),
    ("model.also.beams.num_beams", 0, "at least 1"),
    ("model.generator.draft.tokens", 0, "at least 1"),
    ("model.generator.draft.positions", -8, "at least 1"),
    ("trainer.accumulate_grad_batches", 0, "at least 1"),
    ("trainer.val_check_interval", 0, "above 0"),
    ("trainer.val_check_interval", 1.5, "a whole number above it"),
    ("trainer.limit_train_batches", -1, "at least 0"),
    ("trainer.gradient_clip_val", ".inf", "at least 0"),
    ("trainer.max_epochs", -2, "at least -1"),
    ("trainer.callbacks.patience", -1, "at least 0"),
    ("seed_everything", -1, "at least 0"),
    ("seed_everything", 2**32, "below"),
]


def tree_of(key: str, value: Any) -> dict[str, Any]:
    """Return a run file that gives one setting."""
    node: Any = value
    for part in reversed(key.split(".")):
        node = [{"class_path": "EarlyStopping", part: node}] if part == "patience" else {part: node}
    return node


@pytest.mark.parametrize(("key", "value", "said"), IMPOSSIBLE)
def test_impossible_numbers_are_refused_with_their_place(
    key: str, value: Any, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, folder = tmp_path / "run.yaml", tmp_path / "run"
    given = tree_of(key, value)
    text = json.dumps({"model": {}} | given, indent=1).replace('".nan"', ".nan").replace('".inf"', ".inf")
    file.write_text(text)
    assert main(["fit", "--config", str(file), "--trainer.default_root_dir", str(folder)]) == 1
    message = capsys.readouterr().err
    assert re.search(rf"{re.escape(key)} \({re.escape(str(file))}:\d+\): must be .*{said}", message), message
    assert not folder.exists()
    if "patience" not in key:
        typed = json.dumps(value).strip('"').replace(" ", "")
        (tmp_path / "empty.yaml").write_text("model: {}\n")
        assert main(["fit", "--config", str(tmp_path / "empty.yaml"), f"--{key}={typed}"]) == 1
        assert f"{key} (on the command line): must be" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("trainer.val_check_interval", 0.5),
        ("trainer.val_check_interval", 2000),
        ("trainer.devices", "auto"),
        ("trainer.max_epochs", -1),
        ("model.schedule.warmup", 1.5),
        ("seed_everything", True),
        ("data.max_batch_tokens", None),
        ("model.adapter", {"class_path": "someone.else.Adapter", "init_args": {"dropout": 7}}),
        ("model.optimizer", {"class_path": "torch.optim.RMSprop", "init_args": {"alpha": 0.0}}),
        ("data.instruction", "-1"),
    ],
)
def test_possible_ones_pass(key: str, value: Any, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(json.dumps(tree_of(key, value)))
    ranges.check(inputs.settings(["--config", str(file)]))


def numeric_settings() -> Iterator[tuple[type, str, Any]]:
    """Yield each setting that takes a number, of every class that a run file can name."""
    rooms: tuple[Any, ...] = (adapters, callbacks, data, generation, metrics, models, quantization)
    named = {getattr(room, name) for room in rooms for name in room.__all__}
    settable = {Schedule, SignLM, SignAligner, TemporalAdaptor}
    for kind in sorted((kind for kind in named | settable if inspect.isclass(kind)), key=lambda kind: kind.__name__):
        for name, parameter in inspect.signature(kind).parameters.items():
            hint = str(parameter.annotation)
            numbers = re.search(r"\b(int|float)\b", hint) and "Callable" not in hint and "Sequence" not in hint
            if numbers and parameter.default is not parameter.empty:
                yield kind, name, parameter.default


NO_SETTINGS = {"FieldScore", "Stop"}
OWN_CHECK = {"layers", "gradual", "bits", "cache_bits", "activations", "dtype", "tokenize"}
"""Choices among a few values, which their classes know."""


def test_every_number_has_a_range_and_its_default_lies_in_it() -> None:
    seen = [(kind, name, default) for kind, name, default in numeric_settings() if kind.__name__ not in NO_SETTINGS]
    assert len(seen) > 60
    known = [(f"{kind.__name__}.{name}", name, default) for kind, name, default in seen if name not in OWN_CHECK]
    assert [full for full, name, _ in known if not (ranges.OURS.get(full) or ranges.OURS.get(name))] == []
    for full, name, default in known:
        wanted = ranges.OURS.get(full) or ranges.OURS[name]
        values = default if isinstance(default, tuple) else [default]
        assert all(value is None or wanted.holds(value) for value in values), full
    of_trainer = inspect.signature(Trainer).parameters
    assert set(ranges.TRAINER) <= set(of_trainer)
    numbers = {
        name for name, parameter in of_trainer.items() if re.search(r"\b(int|float)\b", str(parameter.annotation))
    }
    assert numbers - set(ranges.TRAINER) == {"fast_dev_run", "max_time"}


@pytest.fixture
def rows(tmp_path: Path) -> str:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps({"text": f"{k} panes", "json": {"n": k}}) + "\n" for k in range(6)))
    return str(file)


@pytest.mark.parametrize(("every", "limit", "most"), [(4, None, 3), (3, 2, 2), (100, 0.7, 2)])
def test_a_validation_that_never_comes_is_refused(
    every: int, limit: Any, most: int, rows: str, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = {
        "model": {
            "class_path": "lit_llm.models.CausalLM",
            "init_args": {"backbone": str(root / "checkpoints/qwen3-tiny")},
        },
        "data": {
            "class_path": "lit_llm.data.ExtractionData",
            "init_args": {"train": rows, "valid": rows, "batch_size": 2},
        },
        "trainer": {"default_root_dir": str(tmp_path / "run"), "max_epochs": 1, "accelerator": "cpu", "logger": False},
    }
    run["trainer"] |= {"val_check_interval": every} | ({"limit_train_batches": limit} if limit else {})
    (tmp_path / "run.json").write_text(json.dumps(run))
    assert main(["fit", "--config", str(tmp_path / "run.json")]) == 1
    assert f"trainer.val_check_interval is {every} batches, and an epoch has {most}" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_no_optimizer_is_refused_at_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.yaml").write_text(
        "model: {class_path: lit_llm.models.CausalLM, init_args: {optimizer: null}}\n"
        "data: {class_path: lit_llm.data.ExtractionData}\n"
        f"trainer: {{default_root_dir: {tmp_path}/run, accelerator: cpu}}\n"
    )
    assert main(["fit", "--config", str(tmp_path / "run.yaml")]) == 1
    assert "model.init_args.optimizer" in capsys.readouterr().err
    for settings in ({"label_smoothing": -0.1}, {"generate_every": 0}, {"optimizer": None}):
        with pytest.raises(ConfigError, match=rf"model\.init_args\.{next(iter(settings))}"):
            CausalLM(**settings)
