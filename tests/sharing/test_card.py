"""The card of what is handed on: what the Hub reads, and code that answers as ``predict`` does, from anywhere."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import yaml

import lit_llm
from lit_llm.__main__ import main
from lit_llm.results import Result
from lit_llm.sharing.about import About
from lit_llm.sharing.card import renew_scores, scores_part, write_card
from lit_llm.sharing.snippets import for_adapter, for_gguf
from tests import short_runs

TEXT = "quiero 4 panes y \"2 {cafés}\" 'fríos'"
ASKED = {"system": 'Di {"x"}: "sí"\n\\n', "instruction": "Saca 'esto':\n{text}\nYa."}


def fitted(folder: Path, root: Path, **settings: Any) -> Path:
    rows = folder / "rows.jsonl"
    rows.write_text("".join(f'{{"text": "quiero {k} panes", "json": {{"n": {k}}}}}\n' for k in range(8)))
    generator = {"class_path": "lit_llm.generation.Generator", "init_args": {"max_new_tokens": 20}}
    model = {"backbone": str(root / "checkpoints/qwen3-tiny"), "generator": generator} | settings
    return short_runs.fit(
        folder / "run", {"train": str(rows), "test": {"one": str(rows)}, "batch_size": 4} | ASKED, **model
    )


def card(folder: Path) -> tuple[dict[str, Any], str]:
    text = (folder if folder.is_file() else folder / "README.md").read_text(encoding="utf-8")
    _, head, body = text.split("---\n", 2)
    return yaml.safe_load(head), body


def run_code(body: str, text: str = TEXT) -> str:
    """Return what the first Python snippet of a card prints for a text."""
    code = re.findall(r"```python\n(.*?)```", body, re.DOTALL)[0]
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code.replace("'your text'", repr(text)), {})
    return out.getvalue().removesuffix("\n")


@pytest.mark.slow
def test_the_code_of_an_adapter_and_of_its_exports_answers_as_predict_does(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    run = fitted(tmp_path, root, backbone="checkpoints/qwen3-tiny")
    assert main(["export", "--run", str(run), "--merged", str(tmp_path / "merged")]) == 0
    assert main(["export", "--run", str(run), "--gguf", str(tmp_path / "m.gguf")]) == 0
    monkeypatch.chdir("/")
    [wanted] = lit_llm.load(run).answer([TEXT])
    for folder, library in ((run / "adapter", "peft"), (tmp_path / "merged", "transformers")):
        head, body = card(folder)
        assert (head["library_name"], head["pipeline_tag"]) == (library, "text-generation")
        # A folder is no name that the Hub knows.
        assert "base_model" not in head
        assert run_code(body) == wanted.raw
        assert [turn["content"] for turn in json.loads(re.findall(r"```json\n(.*?)```", body, re.DOTALL)[0])] == [
            ASKED["system"],
            ASKED["instruction"],
        ]
    # llama.cpp does not normalise, so the code does.
    pytest.importorskip("xllamacpp")
    decomposed = unicodedata.normalize("NFD", TEXT)
    assert decomposed != TEXT
    assert run_code(card(tmp_path / "m.gguf.md")[1], decomposed) == wanted.raw
    config = json.loads((run / "adapter/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(root / "checkpoints/qwen3-tiny")


KINDS: dict[str, dict[str, Any]] = {
    "nf4": {"quantizer": {"class_path": "lit_llm.quantization.NF4"}},
    "whole": {"adapter": {"class_path": "lit_llm.adapters.Full"}},
    "random": {"loading": {"random_init": True}},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_code_of_other_runs_answers_too(
    kind: str, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = fitted(tmp_path, root, **KINDS[kind])
    monkeypatch.chdir("/")
    [wanted] = lit_llm.load(run).answer([TEXT])
    said = run_code(card(run / ("model" if kind == "whole" else "adapter"))[1])
    assert said == (repr([wanted]) if kind == "random" else wanted.raw)


@pytest.mark.slow
def test_a_base_of_the_hub_is_called_by_its_id(tmp_path: Path, root: Path) -> None:
    snapshot = tmp_path / "hub/models--acme--tiny/snapshots/0123"
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(root / "checkpoints/qwen3-tiny")
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs/main").write_text("0123")
    code = "import sys; from pathlib import Path; from tests.sharing.test_card import fitted; "
    code += "fitted(Path(sys.argv[1]), Path('.'), backbone='acme/tiny')"
    environment = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    environment.pop("HF_HUB_CACHE", None)
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=root, env=environment, check=True, timeout=300)
    config = json.loads((tmp_path / "run/adapter/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "acme/tiny"
    head, body = card(tmp_path / "run/adapter")
    assert (head["base_model"], head["base_model_relation"]) == ("acme/tiny", "adapter")
    assert "from_pretrained('acme/tiny', " in body


def test_a_test_brings_its_scores_into_the_card(short_runs: Path) -> None:
    run = short_runs / "plain"
    assert "None yet" in (run / "adapter/README.md").read_text()
    assert main(["test", "--config", str(run.with_suffix(".yaml"))]) == 0
    text = (run / "adapter/README.md").read_text()
    [result] = [json.loads(path.read_text()) for path in (run / "results").glob("test-*.json")]
    assert f"| loss | {result['scores']['one']['loss']:.3f} |" in text
    assert "None yet" not in text
    # Scores of weights that others have replaced since say nothing of these.
    (run / "best.ckpt").rename(run / "kept")
    (run / "best.ckpt").write_bytes((run / "kept").read_bytes() + b" ")
    renew_scores(run / "adapter/README.md", run)
    assert "None yet" in (run / "adapter/README.md").read_text()
    (run / "kept").replace(run / "best.ckpt")


def test_the_newest_score_of_each_file_is_shown(tmp_path: Path) -> None:
    best = {"name": "best"}
    results = [
        Result("test", checkpoint=best, scores={"a": {"field_f1": 0.5, "rows": 1200}, "b": {"chrf": 31.25}}),
        Result("test", checkpoint={"name": "last"}, scores={"a": {"field_f1": 0.9}}),
        Result("validate", checkpoint=best, scores={"valid": {"field_f1": 0.8}}),
        Result("test", checkpoint=best, scores={"a": {"field_f1": 0.75}}),
    ]
    rows = [line for line in scores_part(results).splitlines() if line.startswith("|")]
    assert rows == ["| metric | a | b |", "| --- | ---: | ---: |", "| field_f1 | 0.750 |  |", "| chrf |  | 31.250 |"]
    (tmp_path / "README.md").write_text("mine")
    renew_scores(tmp_path / "README.md", tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_a_command_for_llama_cpp_keeps_the_prompt_whole(tmp_path: Path) -> None:
    turns = [{"role": "system", "content": "it's $HOME"}, {"role": "user", "content": 'Di "{text}"\n`ls`'}]
    about = About("acme/tiny", prompts={"": turns}, generation={"max_new_tokens": 9}, adapter="LoRA", rank=24)
    (_, _, code), _ = for_gguf(about, tmp_path / "a b.gguf")
    words = shlex.split(code)
    assert words[words.index("-m") + 1] == str(tmp_path / "a b.gguf")
    assert words[words.index("-sys") + 1] == "it's $HOME"
    assert words[words.index("-p") + 1] == 'Di "your text"\n`ls`'
    assert "max_lora_rank=32)" in for_adapter(about, tmp_path, "float32")[1][2]
    write_card(tmp_path / "m.md", about, "m", "gguf", ["<|im_end|>"], for_gguf(about, tmp_path / "m.gguf"), None)
    head, body = card(tmp_path / "m.md")
    assert (head["base_model"], head["base_model_relation"], "gguf" in head["tags"]) == ("acme/tiny", "quantized", True)
    assert "An answer ends with `<|im_end|>`" in body
