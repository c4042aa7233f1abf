"""Mixtures: proportions, what an epoch holds, and that each source stays what it is alone."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from transformers import AutoTokenizer

from lit_llm.__main__ import main
from lit_llm.data import ExtractionData, MixedData, TranslationData
from lit_llm.data.tasks.mixing import shares
from lit_llm.errors import ConfigError
from lit_llm.results import read_results
from tests.short_runs import logged

SIZES = {"small": 10, "large": 90}


@pytest.mark.parametrize(
    ("settings", "effective"),
    [
        ({}, {"small": 10, "large": 90}),
        ({"multipliers": {"small": 10}}, {"small": 100, "large": 90}),
        ({"multipliers": {"large": 0.5}}, {"small": 10, "large": 45}),
        ({"weights": {"small": 1, "large": 1}}, {"small": 50, "large": 50}),
        ({"temperature": 2}, {"small": 25, "large": 75}),
        ({"caps": {"large": 0.5}}, {"small": 10, "large": 10}),
        ({"multipliers": {"small": 10}, "caps": {"small": 0.25}}, {"small": 30, "large": 90}),
        ({"caps": {"small": 0.5}}, {"small": 10, "large": 90}),
    ],
)
def test_shares(settings: dict[str, Any], effective: dict[str, int]) -> None:
    assert {share.name: share.effective for share in shares(SIZES, **settings)} == effective


def test_a_cap_that_puts_another_source_over_its_own_is_followed() -> None:
    found = shares({"a": 1000, "b": 300, "c": 500}, caps={"a": 0.1, "b": 0.3})
    total = sum(share.effective for share in found)
    assert [round(share.effective / total, 2) for share in found] == [0.1, 0.3, 0.6]
    assert found[2].effective == 500


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"multipliers": {"smal": 2}}, "multipliers: 'smal' is none of the parts small, large"),
        ({"multipliers": {"small": 0}}, "must be greater than 0"),
        ({"weights": {"small": 1}}, "the part 'large' has none"),
        ({"weights": {"small": 1, "large": 1}, "temperature": 2}, "exclude each other"),
        ({"temperature": 0.5}, "must be at least 1"),
        ({"caps": {"small": 1.5}}, "a cap is below 1"),
        ({"caps": {"small": 0.5, "large": 0.5}}, "one part has to be without"),
    ],
)
def test_impossible_shares_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        shares(SIZES, **settings)


def test_a_budget_of_a_part_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"parts.orders.max_batch_tokens: a mixture draws its rows anew"):
        MixedData({"orders": ExtractionData(max_batch_tokens=512)})


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def orders(count: int, offset: int = 0) -> list[dict[str, Any]]:
    return [
        {"id": f"o{k}", "text": f"quiero {k + 2} panes", "json": {"n": k + 2}} for k in range(offset, offset + count)
    ]


def pairs(count: int, offset: int = 0) -> list[dict[str, Any]]:
    return [{"id": f"p{k}", "es": f"casa {k}", "nah": f"calli {k}"} for k in range(offset, offset + count)]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    return {
        "orders": write(tmp_path / "orders.jsonl", orders(7)),
        "orders_valid": write(tmp_path / "orders_valid.jsonl", orders(5, 100)),
        "pairs": write(tmp_path / "pairs.jsonl", pairs(30)),
        "pairs_valid": write(tmp_path / "pairs_valid.jsonl", pairs(4, 100)),
    }


def mixed(root: Path, files: dict[str, str], **settings: Any) -> MixedData:
    parts = {
        "orders": ExtractionData(train=files["orders"], valid=files["orders_valid"]),
        "pairs": TranslationData(train=files["pairs"], valid=files["pairs_valid"], directions=["es-nah"]),
    }
    module = MixedData(parts, **{"batch_size": 4, "seed": 0, **settings})
    module.tokenizer = AutoTokenizer.from_pretrained(root / "checkpoints" / "qwen3-tiny")
    module.setup("fit")
    return module


def epoch_ids(module: MixedData, epoch: int) -> list[str]:
    loader = module.train_dataloader()
    loader.position = lambda: (epoch, 0)
    return [row for batch in loader for row in batch.ids]


def test_a_multiplied_source_appears_as_often_as_asked_in_another_order_each_epoch(
    root: Path, files: dict[str, str]
) -> None:
    module = mixed(root, files, multipliers={"orders": 10})
    epochs = [epoch_ids(module, epoch) for epoch in range(3)]
    for ids in epochs:
        seen = Counter(ids)
        assert {seen[f"orders/o{k}"] for k in range(7)} == {10}
        assert {seen[f"pairs/p{k}"] for k in range(30)} == {1}
        assert len(ids) == 100
    assert epochs[0] != epochs[1] != epochs[2]
    assert epoch_ids(mixed(root, files, multipliers={"orders": 10}), 1) == epochs[1]


def test_parts_of_rows_differ_between_epochs_and_even_out(root: Path, files: dict[str, str]) -> None:
    module = mixed(root, files, multipliers={"orders": 2.5, "pairs": 0.5})
    epochs = [Counter(epoch_ids(module, epoch)) for epoch in range(40)]
    for seen in epochs:
        counts = [seen[f"orders/o{k}"] for k in range(7)]
        assert sum(counts) == 18 and set(counts) == {2, 3}
        assert sum(seen[f"pairs/p{k}"] for k in range(30)) == 15
    assert len({frozenset(seen.items()) for seen in epochs}) > 30
    total = sum(epochs, Counter())
    assert all(8 < total[f"pairs/p{k}"] < 32 for k in range(30))


def test_no_row_is_served_outside_its_split(root: Path, files: dict[str, str]) -> None:
    module = mixed(root, files, multipliers={"orders": 10})
    trained = set(epoch_ids(module, 0))
    served = {row for loader in module.val_dataloader() for batch in loader for row in batch.ids}
    assert served == {f"orders/o{k}" for k in range(100, 105)} | {f"pairs/p{k}" for k in range(100, 104)}
    assert not trained & served


def test_each_row_keeps_its_own_prompt(root: Path, files: dict[str, str]) -> None:
    module = mixed(root, files)
    alone = TranslationData(train=files["pairs"], directions=["es-nah"])
    alone.tokenizer = module.tokenizer
    alone.setup("fit")
    mine = [row.encoded for row in module.parts["pairs"].splits["train"].rows]
    assert mine == [row.encoded for row in alone.splits["train"].rows]


def test_the_plan_is_shown_and_repeats_are_warned_of(root: Path, files: dict[str, str]) -> None:
    notes = mixed(root, files, multipliers={"orders": 11}).audit().notes
    assert notes == [
        "orders: 7 unique rows, 11.00 times an epoch: 77 of 107 rows (72.0%)",
        "warning: orders: each row is seen 11 times in 1 epochs, and will be learned by heart",
        "pairs: 30 unique rows, 1.00 times an epoch: 30 of 107 rows (28.0%)",
    ]


@pytest.mark.parametrize("parts", [{}, {"a.b": 0}])
def test_parts_need_names(parts: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="parts"):
        MixedData(parts)


def run_file(folder: Path, root: Path, data: dict[str, Any], name: str) -> Path:
    model = {
        "class_path": "lit_llm.models.CausalLM",
        "init_args": {
            "backbone": str(root / "checkpoints/qwen3-tiny"),
            "generator": {"class_path": "lit_llm.generation.Generator", "init_args": {"max_new_tokens": 24}},
            "metrics": [
                {"class_path": "lit_llm.metrics.ExtractionMetrics"},
                {"class_path": "lit_llm.metrics.TranslationMetrics"},
            ],
        },
    }
    trainer = {
        "default_root_dir": str(folder / name),
        "max_steps": 3,
        "accelerator": "cpu",
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "callbacks": [
            {"class_path": "lit_llm.callbacks.RunCheckpoint"},
            {"class_path": "lit_llm.callbacks.MetricsFile"},
            {"class_path": "lit_llm.callbacks.PredictionWriter"},
        ],
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"model": model, "data": data, "trainer": trainer}), encoding="utf-8")
    return path


@pytest.mark.slow
def test_a_mixed_run_measures_each_task_as_alone(tmp_path: Path, root: Path, files: dict[str, str]) -> None:
    parts = {
        "orders": {
            "class_path": "lit_llm.data.ExtractionData",
            "init_args": {
                "train": files["orders"],
                "valid": files["orders_valid"],
                "test": {"t": files["orders_valid"]},
            },
        },
        "pairs": {
            "class_path": "lit_llm.data.TranslationData",
            "init_args": {"train": files["pairs"], "valid": files["pairs_valid"], "test": {"t": files["pairs_valid"]}},
        },
    }
    data = {"class_path": "lit_llm.data.MixedData", "init_args": {"parts": parts, "batch_size": 4}}
    path = run_file(tmp_path, root, data, "mixed")
    assert main(["fit", "--config", str(path)]) == 0
    assert main(["validate", "--config", str(path)]) == 0
    found = logged(tmp_path / "mixed")
    assert {"val/orders/field_f1", "val/pairs/chrfpp", "val/orders/loss", "val/pairs/loss", "val/loss"} <= set(found)
    for name, part in parts.items():
        alone = run_file(tmp_path, root, part, name)
        checkpoint = str(tmp_path / "mixed/best.ckpt")
        # The checkpoint's data state belongs to the mixture, so the weights alone are measured.
        assert main(["validate", "--config", str(alone), "--ckpt_path", checkpoint]) == 0
        single = logged(tmp_path / name)
        for key, value in single.items():
            assert found[key.replace("val/", f"val/{name}/")] == pytest.approx(value, abs=1e-6), key
    assert main(["test", "--config", str(path)]) == 0
    assert {"test/orders.t/field_f1", "test/pairs.t/chrfpp"} <= set(logged(tmp_path / "mixed"))
    signatures = read_results(tmp_path / "mixed")[-1].signatures
    assert signatures["translation"]["chrfpp"].startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:2")
    assert main(["predict", "--config", str(path)]) == 0
    with (tmp_path / "mixed/predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows][:1] == ["orders/o100"]
    assert len(rows) == 5 + 8
    assert {json.loads(row["meta"])["part"] for row in rows} == {"orders", "pairs"}


@pytest.mark.slow
def test_a_source_without_a_file_for_a_stage_is_passed_over(
    tmp_path: Path, root: Path, files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    named = {"train": files["pairs"], "valid": files["pairs_valid"], "test": {"t": files["pairs_valid"]}}
    parts = {
        "dictionary": {"class_path": "lit_llm.data.TranslationData", "init_args": {"train": files["pairs"]}},
        "bible": {"class_path": "lit_llm.data.TranslationData", "init_args": named},
    }
    data = {"class_path": "lit_llm.data.MixedData", "init_args": {"parts": parts, "batch_size": 16}}
    path = run_file(tmp_path, root, data, "two")
    for verb in ("fit", "validate", "test", "predict"):
        assert main([verb, "--config", str(path)]) == 0, capsys.readouterr().err
    found = logged(tmp_path / "two")
    assert {"val/loss", "val/bible/chrfpp", "test/bible.t/chrfpp"} <= set(found)
    assert not any("dictionary" in name for name in found)
    with (tmp_path / "two/predictions.csv").open(newline="") as file:
        assert {json.loads(row["meta"])["split"] for row in csv.DictReader(file)} == {"bible.t"}

    for part in parts.values():
        part["init_args"] = {"train": files["pairs"]}
    path = run_file(tmp_path, root, data, "none")
    assert main(["test", "--config", str(path), "--ckpt_path", "none"]) == 1
    assert "`test` needs a file, and no part names one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("limits", "repeats"), [({"max_epochs": 3}, 3), ({"max_steps": 40}, 4), ({"max_epochs": 3, "max_steps": 40}, 3)]
)
def test_repeats_are_counted_over_the_whole_run(
    root: Path, files: dict[str, str], limits: dict[str, int], repeats: int
) -> None:
    from lightning.pytorch import Trainer

    data = MixedData({"pairs": TranslationData(train=files["pairs"], directions=["es-nah"])}, batch_size=3)
    data.parts["pairs"].tokenizer = AutoTokenizer.from_pretrained(root / "checkpoints/qwen3-tiny")
    data.parts["pairs"].setup("fit")
    data.proportions["multipliers"] = {"pairs": 11}
    data.trainer = Trainer(**limits, accelerator="cpu", logger=False, enable_checkpointing=False, barebones=True)
    expected = min(limits.get("max_epochs", 99) * 11, limits.get("max_steps", 999) * 3 / 30)
    (warning,) = [note for note in data.audit().notes if "learned by heart" in note] or [""]
    assert (f"seen {expected:.0f} times" in warning) == (expected > 10)
