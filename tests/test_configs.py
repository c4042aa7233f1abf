"""Every shipped run file parses, stays small, and is made of fragments that are all in use."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lit_llm.__main__ import main
from scripts.demo_data.make_signs import make_signs

ROOT = Path(__file__).resolve().parent.parent
RUNS = sorted((ROOT / "configs" / "run").glob("*.yaml"))
FRAGMENTS = sorted(set((ROOT / "configs").glob("*/*.yaml")) - set(RUNS))
DEMO = ROOT / "configs" / "run" / "extraction_tiny.yaml"

Printed = Callable[..., dict[str, Any]]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT / "configs"))


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Printed:
    """Give the whole configuration of a run file, as ``--print_config`` prints it."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["lit_llm"])
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")

    def run(*options: str) -> dict[str, Any]:
        with pytest.raises(SystemExit) as stop:
            status = main(["fit", *options, "--print_config"])
            pytest.fail(f"status {status}: {capsys.readouterr().err}")
        assert stop.value.code == 0
        config: dict[str, Any] = yaml.safe_load(capsys.readouterr().out)
        return config

    return run


def strings(value: Any) -> Iterator[str]:
    """Yield every string in a YAML value."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from strings(inner)
    elif isinstance(value, str):
        yield value


def named(path: Path) -> set[Path]:
    """Return the fragments that a file names, those that these name included."""
    found: set[Path] = set()
    for text in strings(yaml.safe_load(path.read_text(encoding="utf-8"))):
        if text.endswith(".yaml"):
            fragment = (path.parent / text).resolve()
            found |= {fragment} | named(fragment)
    return found


def test_there_are_run_files_and_fragments():
    assert DEMO in RUNS
    assert FRAGMENTS


@pytest.mark.parametrize("path", RUNS, ids=name)
def test_a_run_file_parses(path: Path, printed: Printed):
    config = printed("--config", str(path))
    assert config["model"]["class_path"].startswith("lit_llm.models.")
    assert config["data"]["class_path"].startswith("lit_llm.data.")
    adapter = config["model"]["init_args"]["adapter"]
    assert adapter["class_path"].startswith("lit_llm.adapters.")
    assert config["trainer"]["default_root_dir"] == f"checkpoints/{path.stem}"


def test_what_is_printed_is_a_run_file(printed: Printed, tmp_path: Path):
    config = printed("--config", str(DEMO))
    (tmp_path / "printed.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    assert printed("--config", str(tmp_path / "printed.yaml")) == config


@pytest.mark.parametrize("path", RUNS + FRAGMENTS, ids=name)
def test_it_is_small(path: Path):
    limit = 25 if path in RUNS else 15
    assert len(path.read_text(encoding="utf-8").splitlines()) <= limit


@pytest.mark.parametrize("path", FRAGMENTS, ids=name)
def test_a_fragment_is_in_use(path: Path):
    assert path in set().union(*map(named, RUNS))


@pytest.mark.parametrize("path", RUNS, ids=name)
def test_what_a_run_file_names_exists(path: Path):
    fragments = named(path)
    assert all(fragment.is_file() for fragment in fragments)
    paths = [text for file in (path, *fragments) for text in strings(yaml.safe_load(file.read_text(encoding="utf-8")))]
    assert [text for text in paths if text.startswith("configs/") and not (ROOT / text).is_file()] == []


@pytest.mark.parametrize("adapter", ["dora", "vera", "full"])
def test_the_other_adapters_change_nothing_else(adapter: str, printed: Printed):
    demo, other = printed("--config", str(DEMO)), printed("--config", str(DEMO.with_stem(f"{DEMO.stem}_{adapter}")))
    assert other["model"]["init_args"].pop("adapter") != demo["model"]["init_args"].pop("adapter")
    for config in (demo, other):
        del config["model"]["init_args"]["optimizer"]["init_args"]["lr"]
        del config["trainer"]["default_root_dir"]
    assert other == demo


@pytest.mark.parametrize(
    ("way", "key"),
    [("nf4", "quantizer"), ("int8", "quantizer"), ("qat_int4", "qat"), ("qat_int2", "qat"), ("qat_q4_0", "qat")],
)
def test_the_ways_to_store_weights_change_nothing_else(way: str, key: str, printed: Printed):
    demo, other = printed("--config", str(DEMO)), printed("--config", str(DEMO.with_stem(f"{DEMO.stem}_{way}")))
    assert other["model"]["init_args"].pop(key) != demo["model"]["init_args"].pop(key)
    for config in (demo, other):
        del config["trainer"]["default_root_dir"]
    assert other == demo


@pytest.mark.slow
@pytest.mark.parametrize("size", ["4b", "32b"])
def test_a_run_file_for_a_gpu_runs_here_with_a_small_model(
    size: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["lit_llm"])
    pairs = [{"es": f"La casa {k} es grande", "nah": f"In calli {k} huei"} for k in range(20)]
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps(pair) + "\n" for pair in pairs), encoding="utf-8")
    run = tmp_path / "run"
    small = {"num_hidden_layers": 1, "hidden_size": 128, "intermediate_size": 128, "vocab_size": 1024}
    options = ["--config", f"configs/run/translation_qwen3_{size}.yaml", "--trainer.default_root_dir", str(run)]
    options += ["--data.train", str(data), "--data.valid", str(data), "--data.test", json.dumps({"dev": str(data)})]
    options += ["--model.init_args.backbone", "checkpoints/qwen3-tiny"]
    options += ["--model.init_args.loading.random_init", "true"]
    options += ["--model.init_args.loading.config_overrides", json.dumps(small)]
    assert main(["fit", *options, "--trainer.max_steps", "3"]) == 0
    assert main(["test", "--config", str(run / "config.yaml")]) == 0
    assert main(["predict", "--config", str(run / "config.yaml")]) == 0
    assert (run / "adapter/adapter_model.safetensors").exists()
    assert len((run / "predictions.csv").read_text(encoding="utf-8").splitlines()) >= 41


@pytest.mark.slow
@pytest.mark.parametrize("size", ["8b_qlora", "4b_vera", "4b_dora", "4b_full", "4b_qat_int4"])
def test_a_run_file_of_a_kind_of_training_runs_here_with_a_small_model(
    size: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["lit_llm"])
    run = tmp_path / "run"
    small = {"num_hidden_layers": 1, "hidden_size": 128, "intermediate_size": 128, "vocab_size": 1024}
    options = ["--config", f"configs/run/extraction_qwen3_{size}.yaml", "--trainer.default_root_dir", str(run)]
    options += ["--model.init_args.backbone", "checkpoints/qwen3-tiny"]
    options += ["--model.init_args.loading.random_init", "true"]
    options += ["--model.init_args.loading.config_overrides", json.dumps(small)]
    limits = ["--trainer.limit_val_batches", "1", "--model.init_args.generator.init_args.max_new_tokens", "4"]
    assert main(["fit", *options, *limits, "--trainer.max_steps", "3"]) == 0
    assert main(["predict", "--config", str(run / "config.yaml"), "--trainer.limit_predict_batches", "1"]) == 0
    folder = run / ("model" if size == "4b_full" else "adapter")
    assert list(folder.glob("*.safetensors"))


HEADS = {"qwen2.5_7b": (28, 4), "qwen2.5_7b_instruct": (28, 4), "qwen2.5_14b": (40, 8), "qwen2.5_32b": (40, 8)}
"""Attention heads of Qwen2.5 models, of queries and of keys."""


def architecture(folder: Path, size: str) -> str:
    """Write the configuration of a Qwen2.5 model with the small base's tokenizer; return the base of others."""
    if size not in HEADS:
        return "checkpoints/qwen3-tiny"
    from transformers import Qwen2Config

    queries, keys = HEADS[size]
    Qwen2Config(num_attention_heads=queries, num_key_value_heads=keys).save_pretrained(folder)
    for path in (ROOT / "checkpoints" / "qwen3-tiny").glob("*token*"):
        shutil.copy(path, folder)
    shutil.copy(ROOT / "checkpoints" / "qwen3-tiny" / "chat_template.jinja", folder)
    return str(folder)


@pytest.mark.slow
@pytest.mark.parametrize("size", [*HEADS, "qwen3_4b"])
def test_a_run_file_for_signs_runs_here_with_a_small_model(
    size: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["lit_llm"])
    make_signs(tmp_path, {"train": 40, "valid": 4, "test": 5}, seed=0)
    manifest, run = str(tmp_path / "manifest.csv"), tmp_path / "run"
    small = {"num_hidden_layers": 1, "hidden_size": 320 if "2.5" not in size else 8 * HEADS[size][0]}
    small |= {"intermediate_size": 128, "vocab_size": 1024}
    options = ["--config", f"configs/run/sign_{size}_isign.yaml", "--trainer.default_root_dir", str(run)]
    options += ["--data.train", manifest, "--data.valid", manifest, "--data.test", json.dumps({"test": manifest})]
    options += ["--model.init_args.backbone", architecture(tmp_path / "base", size)]
    options += ["--model.init_args.loading.random_init", "true"]
    options += ["--model.init_args.loading.config_overrides", json.dumps(small)]
    assert main(["fit", *options, "--trainer.max_steps", "2"]) == 0
    assert main(["test", "--config", str(run / "config.yaml")]) == 0
    assert main(["predict", "--config", str(run / "config.yaml")]) == 0
    assert {path.name for path in (run / "adapter").glob("*.safetensors")} == {
        "adaptor.safetensors",
        "adapter_model.safetensors",
    }
    assert len((run / "predictions.csv").read_text(encoding="utf-8").splitlines()) >= 6
