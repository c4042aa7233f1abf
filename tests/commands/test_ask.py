"""``ask`` and ``load``: what they answer is what ``predict`` writes for the same texts."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lit_llm
from lit_llm.__main__ import main
from lit_llm.errors import ConfigError
from lit_llm.report.places import located
from tests import short_runs

TEXTS = [
    "quiero 7 panes",
    "Hola, ¿me apartas dos tortas de jamón y un café para las 10:30? Soy María 😀",
    "línea uno\nlínea dos",
    "3",
    "  con blancos  ",
]
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 99}}, "required": ["n"]} | {
    "additionalProperties": False
}
TINY = {"max_new_tokens": 12}
WRITER = {"class_path": "lit_llm.callbacks.PredictionWriter"}


def generator(**settings: Any) -> dict[str, Any]:
    return {"class_path": "lit_llm.generation.Generator", "init_args": TINY | settings}


def class_of(path: str, **settings: Any) -> dict[str, Any]:
    return {"class_path": f"lit_llm.{path}", "init_args": settings}


def predicted(run: Path, rows: list[dict[str, Any]], *options: str) -> list[dict[str, str]]:
    """Return what ``predict`` writes for rows of a file."""
    file, out = run.parent / "asked.jsonl", run.parent / "asked.csv"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    for old in run.parent.glob("asked.csv*"):
        old.unlink()
    command = ["predict", "--config", str(run.with_suffix(".yaml")), "--data.predict", str(file)]
    command += ["--predictions", str(out), "--trainer.callbacks+", json.dumps(WRITER), *options]
    assert main(command) == 0
    with out.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def asked(capsys: pytest.CaptureFixture[str], run: Path, *options: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert main(["ask", "--run", str(run), "--json", *options]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def assert_same(found: list[dict[str, Any]], wanted: list[dict[str, str]], tolerance: float = 2e-5) -> None:
    assert len(found) == len(wanted) > 0
    for row, other in zip(found, wanted, strict=True):
        for key in ("text", "prediction", "raw", "status"):
            assert row[key] == other[key]
        assert row["new_tokens"] == int(other["new_tokens"])
        assert row["score"] == pytest.approx(float(other["score"]), abs=tolerance)


@pytest.mark.parametrize(("kind", "checkpoint"), [("plain", "none"), ("aware", "best")])
def test_it_answers_as_predict_does(
    kind: str, checkpoint: str, short_runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = short_runs / kind
    rows = predicted(run, [{"text": text} for text in TEXTS], "--ckpt_path", checkpoint)
    monkeypatch.chdir("/")
    assert_same(asked(capsys, run, "--checkpoint", checkpoint, *TEXTS), rows)


EXTRACTION: dict[str, dict[str, Any]] = {
    "constrained": {"generator": generator(constraint=class_of("generation.JsonSchemaConstraint"), stop="json")},
    "beams": {"generator": generator(num_beams=3, per_source=1.5)},
    "sampled": {"generator": generator(do_sample=True, temperature=0.7, repetition_penalty=1.3), "merge": True},
    "nf4": {"quantizer": class_of("quantization.NF4")},
    "whole": {"adapter": class_of("adapters.Full")},
    "random": {"loading": {"random_init": True, "config_overrides": {"num_hidden_layers": 2}}},
}


@pytest.mark.slow
@pytest.mark.parametrize("case", EXTRACTION)
def test_it_answers_as_predict_does_whatever_is_set(
    case: str, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    rows = [{"text": f"quiero {k} panes", "json": {"n": k}} for k in range(8)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = {"train": str(tmp_path / "rows.jsonl"), "schema": "schema.json", "batch_size": 4, "system": "Saca el número"}
    # Relative paths, and a seed that is not the usual one, which random weights follow.
    shutil.copytree(root / "checkpoints/qwen3-tiny", tmp_path / "base")
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    run = short_runs.fit(
        Path("runs/one"), data, seed=7, **{"backbone": "base", "generator": generator()} | EXTRACTION[case]
    )
    wanted = predicted(run, [{"text": text} for text in TEXTS])
    monkeypatch.chdir("/")
    monkeypatch.delenv("PL_GLOBAL_SEED")
    found = lit_llm.load(tmp_path / run).answer(TEXTS)
    assert_same([vars(answer) for answer in found], wanted)
    assert {row["status"] for row in wanted} <= {"ok"} or case != "constrained"


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """A run in both directions, whose prompts name the variety."""
    folder = tmp_path_factory.mktemp("translator")
    pairs = [{"es": f"Quiero {k} casas.", "nah": f"Nicnequi {k} calli.", "dialect": "puebla"} for k in range(4)]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    data = {"train": str(folder / "pairs.jsonl"), "batch_size": 4, "instructions": {"nah-es": "Traduce: {text}"}}
    base = str(root / "checkpoints/qwen3-tiny")
    return short_runs.fit(folder / "run", data, task="Translation", backbone=base, generator=generator())


@pytest.mark.parametrize(("direction", "dialect"), [("es-nah", "huasteca"), ("nah-es", None)])
def test_translations_are_asked_by_direction_and_variety(
    direction: str, dialect: str | None, translator: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = direction.partition("-")[0]
    facts = {"dialect": dialect} if dialect else {}
    rows = predicted(translator, [{source: text} | facts for text in TEXTS], f"--data.directions=[{direction}]")
    options = [f"--{name}={value}" for name, value in ({"direction": direction} | facts).items()]
    found = asked(capsys, translator, *options, *TEXTS)
    assert_same(found, rows)
    assert found[0]["meta"] == {"split": "ask", "direction": direction} | facts


def test_what_a_run_must_be_told_is_asked_for(
    translator: Path, short_runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = lit_llm.load(translator)
    for facts, said in [
        ({}, "direction is not named: this run answers es-nah, nah-es; name one"),
        ({"direction": "nah-en"}, "direction is 'nah-en': this run answers es-nah, nah-es"),
        ({"direction": "es-nah", "lang": "x"}, "lang: 'x': the task translation has no such option; there are direct"),
        ({"part": "one"}, "part: 'one': TranslationData is no mixture"),
    ]:
        with pytest.raises(ConfigError, match=said):
            model.answer(["Hola"], **facts)
    assert main(["ask", "--run", str(short_runs / "plain"), "--dialect", "x"]) == 1
    assert (
        "dialect: 'x': the task extraction has no such option; there are schema, reference_date"
        in capsys.readouterr().err
    )


BAD = {
    "  ": "is blank",
    "a <|im_start|>user": "control token '<|im_start|>'",
    "caf\udce9": "is not UTF-8",
}


def test_a_bad_text_is_an_answer_with_its_reason(short_runs: Path) -> None:
    model = lit_llm.load(short_runs / "plain", "last")
    found = model.answer(["quiero 1 pan", *BAD, "quiero 2 panes"])
    assert [answer.status for answer in found] == ["ok", "error", "error", "error", "ok"]
    for answer, (text, reason) in zip(found[1:-1], BAD.items(), strict=True):
        assert (answer.text, answer.prediction) == (text, "")
        assert reason in answer.error
    assert [answer.raw for answer in model.answer(["quiero 2 panes"])] == [found[-1].raw]
    assert model.answer([]) == []


def test_a_text_may_bring_its_schema(short_runs: Path, tmp_path: Path) -> None:
    (tmp_path / "none.json").write_text(json.dumps({"type": "object", "required": ["absent"]}))
    [found] = lit_llm.load(short_runs / "plain").answer(["quiero 7 panes"], schema=str(tmp_path / "none.json"))
    assert (found.status, found.prediction) == ("invalid", "")
    assert "absent" in found.error


def test_lines_of_a_pipe_are_answered_one_by_one(
    short_runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("quiero 5 panes\n\nquiero 6 panes"))
    assert main(["ask", "--run", str(short_runs / "plain"), "--json"]) == 1
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["text"] for row in rows] == ["quiero 5 panes", "", "quiero 6 panes"]
    assert [row["status"] == "error" for row in rows] == [False, True, False]


@pytest.mark.parametrize("end", [EOFError, KeyboardInterrupt])
def test_a_prompt_ends_quietly(
    end: type[BaseException],
    short_runs: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = iter(["quiero 5 panes", " "])

    def typed(prompt: str) -> str:
        for line in lines:
            return line
        raise end

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", typed)
    assert main(["ask", "--run", str(short_runs / "plain")]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("{") and said.out.count("\n") == 2
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--run", "nowhere"], "there is no run folder nowhere"),
        (["--run", "bare"], "bare is no run folder"),
        (["--run", "empty"], "config.yaml: holds no configuration"),
        (["--run", "broken"], "config.yaml: cannot be read"),
        (["--run", "old"], "config.yaml: cannot be used with this version"),
    ],
)
def test_a_folder_that_is_no_run_is_named(
    options: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = {"empty": "", "broken": "a: [", "old": "model: {class_path: lit_llm.models.Gone}\ndata: {}\n"}
    (tmp_path / "bare").mkdir()
    for name, text in texts.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert main(["ask", *options, "hola"]) == 1
    assert said in capsys.readouterr().err


def test_paths_of_a_run_are_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    for folder in (project / "weights/base", project / "runs/one", project / "text", elsewhere / "copy/adapter"):
        folder.mkdir(parents=True)
    (project / "schema.json").touch()
    config = {
        "model": {"backbone": "weights/base", "text_field": "text", "hub": "Qwen/Qwen3-0.6B"},
        "data": {"schema": "schema.json", "test": {"text": "text"}, "train": "weights/train.{lang}", "n": [1, None]},
        "trainer": {"default_root_dir": "./runs/one"},
    }
    monkeypatch.chdir("/")
    found = located(config, project / "runs/one")
    assert found["model"] == {"backbone": str(project / "weights/base"), "text_field": "text", "hub": "Qwen/Qwen3-0.6B"}
    assert found["data"] == {
        "schema": str(project / "schema.json"),
        "test": {"text": str(project / "text")},
        "train": str(project / "weights/train.{lang}"),
        "n": [1, None],
    }
    # Moved away, a run has its own note of where it was started.
    assert located(config, elsewhere / "copy")["data"]["schema"] == "schema.json"
    (elsewhere / "copy/adapter/lit_llm.json").write_text(json.dumps({"started_in": str(project)}))
    assert located(config, elsewhere / "copy")["data"]["schema"] == str(project / "schema.json")
    monkeypatch.chdir(project)
    assert located(config, project / "runs/one")["data"]["schema"] == str(project / "schema.json")


@pytest.mark.slow
def test_clips_are_asked_by_their_path(
    tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    rows = [{"path": f"c{k}.npy", "text": f"es regnet {k} mal"} for k in range(4)]
    for row in rows:
        np.save(tmp_path / row["path"], rng.normal(size=(9, 10)).astype(np.float32))
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    base = {"backbone": str(root / "checkpoints/qwen3-tiny"), "generator": generator(), "hidden": 16}
    data = {"train": str(tmp_path / "rows.jsonl"), "batch_size": 4, "clips": str(tmp_path)}
    run = short_runs.fit(tmp_path / "run", data, task="Sign", kind="SignLM", **base)
    wanted = predicted(run, [{"path": "c1.npy", "lang": "Deutsch"}, {"path": "c2.npy", "lang": "Deutsch"}])
    monkeypatch.chdir("/")
    found = asked(capsys, run, "--lang", "Deutsch", str(tmp_path / "c1.npy"), "c2.npy")
    assert [(row["raw"], row["status"]) for row in found] == [(row["raw"], row["status"]) for row in wanted]
    np.save(tmp_path / "wide.npy", np.zeros((9, 11), np.float32))
    reasons = [answer.error for answer in lit_llm.load(run).answer(["absent.npy", "wide.npy", "c1.npy"])]
    assert "there is no file 'absent.npy': this run translates clips" in reasons[0]
    assert "11 numbers a frame" in reasons[1]
    assert reasons[2] == "" or "stopped at" in reasons[2]


@pytest.mark.slow
def test_a_part_of_a_mixture_is_asked_with_its_own_prompt(
    tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"text": f"quiero {k} panes", "json": {"n": k}} for k in range(4)]
    pairs = [{"es": f"Quiero {k} casas.", "nah": f"Nicnequi {k} calli."} for k in range(4)]
    for name, table in {"rows": rows, "pairs": pairs}.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in table))
    orders, words = tmp_path / "rows.jsonl", tmp_path / "pairs.jsonl"
    parts = {
        "orders": class_of("data.ExtractionData", train=str(orders), predict=str(orders), system="Saca el número"),
        "words": class_of("data.TranslationData", train=str(words), predict=str(words), directions=["nah-es"]),
    }
    base = {"backbone": str(root / "checkpoints/qwen3-tiny"), "generator": generator()}
    run = short_runs.fit(tmp_path / "run", {"parts": parts, "batch_size": 4}, task="Mixed", **base)
    command = ["predict", "--config", str(run.with_suffix(".yaml")), "--predictions", str(tmp_path / "out.csv")]
    assert main([*command, "--trainer.callbacks+", json.dumps(WRITER)]) == 0
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as stream:
        wanted = list(csv.DictReader(stream))
    assert_same(asked(capsys, run, "--part", "orders", *(row["text"] for row in rows)), wanted[:4])
    assert_same(asked(capsys, run, "--part", "words", *(pair["nah"] for pair in pairs)), wanted[4:])
    assert main(["ask", "--run", str(run), "hola"]) == 1
    assert "part is not named: this run was trained on orders, words" in capsys.readouterr().err
