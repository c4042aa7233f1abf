"""From a corpus to answers by the command line: prepare, compress, test, predict, ask; what is found is right."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from lit_llm.__main__ import main
from lit_llm.data.passages.corpus import documents, passages, squad_rows
from lit_llm.errors import DataError
from lit_llm.models.backbone import Loading, open_tokenizer
from lit_llm.report.runs import open_run
from lit_llm.results import read_results
from lit_llm.retrieval import BM25, VectorIndex
from tests.clara_rows import BASE, among, fit, run_file, single, write

THREE = {"stage": "end_to_end"}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of the last stage, a corpus, questions about it, and an index."""
    folder = tmp_path_factory.mktemp("corpus")
    rows, three = write(folder / "one.jsonl", single(8, 0)), write(folder / "three.jsonl", among(8, 3, 0))
    first = fit(run_file(folder, "first", rows, rows, {}, data={"batch_size": 4}))
    data = {"reads": 2, "batch_size": 4}
    fit(run_file(folder, "run", three, three, THREE | {"start_from": str(first)}, data=data))
    asked = among(20, 3, 5)
    texts = [{"id": f"d{k}-{at}", "text": text} for k, row in enumerate(asked) for at, text in enumerate(row["docs"])]
    write(folder / "corpus.jsonl", texts)
    right = [{"pos_name": [f"d{k}-{row['pos_index'][0]}"]} for k, row in enumerate(asked)]
    kept = [{key: row[key] for key in ("id", "question", "answer")} for row in asked]
    write(folder / "asked.jsonl", [row | named for row, named in zip(kept, right, strict=True)])
    assert compress(folder) == 0
    return folder


def compress(folder: Path, name: str = "index", *options: str) -> int:
    given = ["--run", str(folder / "run"), "--corpus", str(folder / "corpus.jsonl"), "--output", str(folder / name)]
    return main(["compress", *given, *options])


def measured(folder: Path, *options: str) -> dict[str, Any]:
    config = ["test", "--config", str(folder / "run/config.yaml"), "--data.test", f"{{asked: {folder}/asked.jsonl}}"]
    assert main([*config, *options]) == 0
    return read_results(folder / "run")[-1].scores["asked"]


def predictions(folder: Path, *options: str) -> list[dict[str, Any]]:
    file = folder / "predictions.csv"
    for old in folder.glob("predictions.csv*"):
        old.unlink()
    config = ["predict", "--config", str(folder / "run/config.yaml"), "--data.predict", str(folder / "asked.jsonl")]
    assert main([*config, "--predictions", str(file), *options]) == 0
    with file.open(newline="") as rows:
        return [row | {"meta": json.loads(row["meta"])} for row in csv.DictReader(rows)]


def test_answers_come_from_the_likest_passages_of_the_index(found: Path) -> None:
    index = VectorIndex(found / "index")
    run = open_run(found / "run")
    model: Any = run.model
    tokenizer = model.tokenizer
    wanted = []
    for row in map(json.loads, (found / "asked.jsonl").read_text().splitlines()):
        ids = torch.tensor([tokenizer(row["question"], add_special_tokens=False)["input_ids"]])
        with torch.no_grad():
            asked = model.asked(ids, torch.ones_like(ids)).flatten(1)
        every = torch.nn.functional.cosine_similarity(asked, torch.from_numpy(index.flat[:]).float())
        wanted.append([index.entry(int(at)).id for at in every.argsort(descending=True, stable=True)])
    rows = predictions(found, "--data.index", str(found / "index"))
    read = [[passage["id"] for passage in row["meta"]["passages"]] for row in rows]
    assert read == [names[:2] for names in wanted]
    assert all(row["status"] == "ok" for row in rows)
    scores = measured(found, "--data.index", str(found / "index"))
    right = [row["meta"]["positives"][0] for row in rows]
    for n in (1, 3, 5):
        # A document may be cut into pieces; any of them is a find.
        share = sum(
            any(name.split("/")[0] == good for name in names[:n]) for names, good in zip(wanted, right, strict=True)
        )
        assert scores[f"recall@{n}"] == pytest.approx(share / 20)


@pytest.mark.slow
def test_the_texts_of_what_words_find_stand_in_the_prompt(found: Path) -> None:
    corpus = [json.loads(line) for line in (found / "corpus.jsonl").read_text().splitlines()]
    asked = [json.loads(line) for line in (found / "asked.jsonl").read_text().splitlines()]
    tokenizer = open_tokenizer(BASE, Loading())
    cut = [entry for entry, _ in passages(found / "corpus.jsonl", tokenizer, 16)]
    hits = BM25().over([entry.text for entry in cut])([row["question"] for row in asked], 2)
    names = [[cut[hit.number].id for hit in row] for row in hits]
    given = ["--data.retriever", "lit_llm.retrieval.BM25", "--data.corpus", str(found / "corpus.jsonl")]
    # The reasoner takes two of those.
    rows = predictions(found, *given, "--data.candidates", "2")
    assert [{passage["id"] for passage in row["meta"]["passages"]} for row in rows] == [set(row) for row in names]
    assert measured(found, *given, "--data.candidates", "10")["recall@5"] > 0
    assert len(corpus) == 60
    text = ["--model", "lit_llm.models.CausalLM", "--model.backbone", BASE, "--data", "lit_llm.data.DocumentsData"]
    text += ["--data.passages", "text", "--data.passage_tokens", "16", "--data.reads", "2", *given]
    file = found / "text.csv"
    options = [*text, "--data.predict", str(found / "asked.jsonl"), "--predictions", str(file)]
    assert main(["predict", *options, "--trainer.default_root_dir", str(found / "text"), "--ckpt_path", "none"]) == 0
    with file.open(newline="") as table:
        read = [json.loads(row["meta"])["passages"] for row in csv.DictReader(table)]
    assert [[passage["id"] for passage in row] for row in read] == names


def test_a_run_answers_questions_from_an_index_at_the_prompt(found: Path, capsys: pytest.CaptureFixture[str]) -> None:
    question = json.loads((found / "asked.jsonl").read_text().splitlines()[0])["question"]
    assert main(["ask", "--run", str(found / "run"), "--index", str(found / "index"), question]) == 0
    answer, *read = capsys.readouterr().out.splitlines()
    wanted = predictions(found, "--data.index", str(found / "index"))[0]
    assert answer == (wanted["prediction"] or wanted["raw"])
    entries = [VectorIndex(found / "index").entry(passage["number"]) for passage in wanted["meta"]["passages"]]
    assert [line.partition(": ")[2] for line in read] == [entry.text.strip() for entry in entries]
    assert main(["ask", "--run", str(found / "run"), question]) == 1
    assert "ask --index" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--data.index", "INDEX", "--data.reads", "200"], r"has \d+ passages, and reads is 200"),
        (["--data.index", "INDEX", "--data.retriever", "lit_llm.retrieval.BM25"], "leave one of both out"),
        (["--data.index", "nowhere"], "make one by python -m lit_llm compress"),
        (["--data.corpus", "CORPUS"], "nothing finds passages there: set retriever"),
        (["--data.candidates", "5"], "candidates: nothing finds passages there"),
        (["--data.retriever", "lit_llm.retrieval.BM25", "--data.candidates", "1"], "give candidates at least as many"),
        (
            ["--data.retriever", "lit_llm.retrieval.BM25", "--data.corpus", "CORPUS", "--data.candidates", "900"],
            "and 900 are wanted",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(
    options: list[str], said: str, found: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = {"INDEX": str(found / "index"), "CORPUS": str(found / "corpus.jsonl")}
    config = ["test", "--config", str(found / "run/config.yaml"), "--data.test", f"{{asked: {found}/asked.jsonl}}"]
    assert main([*config, *(named.get(word, word) for word in options)]) == 1
    assert re.search(said, capsys.readouterr().err)


@pytest.mark.slow
def test_an_index_of_other_weights_is_refused(found: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(found / "index", tmp_path / "index")
    about = json.loads((tmp_path / "index/index.json").read_text())
    about["model"]["compressor"] = "0" * 16
    (tmp_path / "index/index.json").write_text(json.dumps(about))
    assert main(["ask", "--run", str(found / "run"), "--index", str(tmp_path / "index"), "pan"]) == 1
    assert "holds the vectors of another model (compressor: 0000" in capsys.readouterr().err
    # The vectors of passages are those of the stage before, to the bit.
    given = ["--corpus", str(found / "corpus.jsonl"), "--output", str(tmp_path / "first")]
    assert main(["compress", "--run", str(found / "first"), *given]) == 0
    assert (tmp_path / "first/vectors.npy").read_bytes() == (found / "index/vectors.npy").read_bytes()
    assert main(["ask", "--run", str(found / "run"), "--index", str(tmp_path / "first"), "pan"]) == 0
    # A run of the first stage reads all passages of a row, and of an index as many as are asked for.
    earlier = ["ask", "--run", str(found / "first"), "--index", str(tmp_path / "first"), "pan"]
    assert main(earlier) == 1
    assert "ask --reads" in capsys.readouterr().err
    assert main([*earlier, "--reads", "3"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_a_finished_index_is_left_as_it_is(found: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in (found / "index").iterdir()}
    assert compress(found) == 0
    assert "is finished: nothing to do" in capsys.readouterr().out
    assert compress(found, "index", "--overlap", "4") == 1
    assert "whose overlap is another" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in (found / "index").iterdir()} == before


@pytest.mark.slow
def test_a_quicker_search_is_added_to_it(found: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("usearch")
    shutil.copytree(found / "index", found / "quick")
    assert compress(found, "quick", "--approximate") == 0
    assert "approximate search: recall@10" in capsys.readouterr().out
    exact, quick = (predictions(found, "--data.index", str(found / name)) for name in ("index", "quick"))
    assert [row["prediction"] for row in exact] == [row["prediction"] for row in quick]


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_in_the_same_bytes(found: Path, tmp_path: Path) -> None:
    rng = random.Random(0)
    texts = [{"text": row["docs"][0]} for row in single(2000, 3)]
    write(tmp_path / "corpus.jsonl", texts)
    command = [sys.executable, "-m", "lit_llm", "compress", "--run", str(found / "run")]
    command += ["--corpus", str(tmp_path / "corpus.jsonl"), "--output"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run([*command, str(tmp_path / "whole")], env=environment, check=True, capture_output=True)
    kills, progress = 0, tmp_path / "parts/progress.json"
    while kills < 2:
        process = subprocess.Popen(
            [*command, str(tmp_path / "parts")], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        start, done = time.monotonic(), progress.read_text() if progress.exists() else ""
        # Somewhere between two notes of the progress, the first of which is that of the corpus.
        while process.poll() is None and (not progress.exists() or progress.read_text() == done):
            time.sleep(0.01)
            assert time.monotonic() - start < 120
        time.sleep(rng.uniform(0, 0.05))
        assert process.poll() is None, "it ended before it was killed"
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        kills += 1
    subprocess.run([*command, str(tmp_path / "parts")], env=environment, check=True, capture_output=True)
    whole, parts = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("whole", "parts"))
    assert whole == parts


def test_documents_become_passages_that_together_hold_all_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "notas/más"
    folder.mkdir(parents=True)
    long = "\ufeff" + "El río Balsas nace en Tlaxcala; ñandú 🙂 y saltillo ꞌ.\n" * 9
    (folder / "a.md").write_text(long, encoding="utf-8")
    (tmp_path / "notas/b.txt").write_text("corto", encoding="utf-8")
    (tmp_path / "notas/c.txt").write_text("", encoding="utf-8")
    given = ["prepare", "documents", str(tmp_path / "notas"), "--backbone", BASE, "--tokens", "24"]
    assert main([*given, "--output", str(tmp_path / "cut.jsonl")]) == 0
    assert "passages of 2 documents, of at most 24 tokens" in capsys.readouterr().out
    cut = [json.loads(line) for line in (tmp_path / "cut.jsonl").read_text().splitlines()]
    text = long.removeprefix("\ufeff")
    of_long = [row for row in cut if row["document"] == "más/a.md"]
    # A letter of several tokens may stand at the end of one and at the beginning of the next.
    assert all(b["start"] <= a["end"] < b["end"] for a, b in pairwise(of_long)) and of_long[-1]["end"] == len(text)
    assert sum(len(row["text"]) for row in of_long) < len(text) + len(of_long)
    assert all(text[row["start"] : row["end"]] == row["text"] for row in of_long)
    assert [row["id"] for row in cut if row["document"] == "b.txt"] == ["b.txt"]
    # What was cut is a corpus, whose passages keep their names and places.
    again = list(passages(tmp_path / "cut.jsonl", open_tokenizer(BASE, Loading()), 30))
    assert [entry._asdict() for entry, _ in again] == cut
    assert main([*given, "--output", str(tmp_path / "cut.jsonl")]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert main([*given, "--output", str(tmp_path / "more.jsonl"), "--overlap", "24"]) == 1
    assert "--overlap 24" in capsys.readouterr().err


def test_questions_of_squad_become_rows_with_their_passages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = [
        {"id": 7, "question": "¿Dónde?", "answers": [{"text": "aquí"}, {"text": "aquí"}, {"text": "ahí"}]},
        {"id": 8, "question": "¿Quién?", "answers": [], "is_impossible": True},
    ]
    content = {"data": [{"title": "x", "paragraphs": [{"context": "Está aquí.", "qas": asked}]}]}
    (tmp_path / "squad.json").write_text(json.dumps(content))
    rows = [{"context": "Está aquí.", "question": "¿Dónde?", "answer": "aquí"}, {"context": "B", "question": "?"}]
    write(
        tmp_path / "hub.jsonl",
        [row | {"answers": {"text": [row["answer"]]}} if "answer" in row else row for row in rows],
    )
    write(tmp_path / "plain.jsonl", rows)
    for name in ("squad.json", "hub.jsonl", "plain.jsonl"):
        made, out = tmp_path / f"{name}.rows.jsonl", tmp_path / f"{name}.out.jsonl"
        given = [str(tmp_path / name), "--backbone", BASE, "--output", str(out), "--questions", str(made)]
        assert main(["prepare", "documents", *given]) == 0
        assert "1 question; 1 without an answer left out" in capsys.readouterr().out
        (row,) = [json.loads(line) for line in made.read_text().splitlines()]
        assert row["docs"] == ["Está aquí."] and row["pos_index"] == [0] and row["pos_name"] == ["context 0"]
        assert row["answers"] == (["aquí", "ahí"] if name == "squad.json" else ["aquí"])
        assert [json.loads(line)["id"] for line in out.read_text().splitlines()] == ["context 0"]
    with pytest.raises(DataError, match="not as SQuAD publishes"):
        (tmp_path / "bad.json").write_text('{"data": [{"paragraphs": [{"context": "x"}]}]}')
        squad_rows(tmp_path / "bad.json")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", "año".encode("latin-1"), "not UTF-8 at byte 1"),
        ("a.jsonl", b'{"text": "x", "document": "d", "start": 3, "end": 9}', "not 1 characters apart"),
        ("a.jsonl", b'{"text": "x", "document": "d", "start": true, "end": "2"}', "not 1 characters apart"),
        ("a.jsonl", b'{"texto": "x"}', "text"),
    ],
)
def test_what_cannot_be_read_is_named(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        list(documents(tmp_path / name))


def test_a_file_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"a\xf1o.txt")).write_text("hola")
    with pytest.raises(DataError, match=r"the name of a file, 'a.udcf1o\.txt', is not UTF-8: rename it"):
        list(documents(tmp_path))
    (tmp_path / os.fsdecode(b"a\xf1o.txt")).rename(tmp_path / "an\u0303o\u202f.txt")
    assert [entry.id for entry in documents(tmp_path)] == ["an\u0303o\u202f.txt"]


@pytest.mark.parametrize(
    ("name", "content", "places"),
    [
        ("a.csv", b"id,text,document,start,end\na,hola,d,3,7\n", [("d", 3, 7)]),
        ("a.csv", b"id,text,start,end\na,hola,1.5,x\n", [("a", 0, 4)]),
        ("a.jsonl", b'{"id": "a", "text": "x", "end": "5"}', [("a", 0, 1)]),
    ],
)
def test_places_are_read_of_passages_alone(
    name: str, content: bytes, places: list[tuple[str, int, int]], tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    assert [(entry.document, entry.start, entry.end) for entry in documents(tmp_path / name)] == places


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"answer": 1990}, ["1990"]),
        ({"answers": [1990, {"text": "x", "answer_start": 0}]}, ["1990", "x"]),
        ({"answers": [], "answer": "x"}, ["x"]),
        ({"answers": "{'text': ['x']}"}, "is neither a text nor a number"),
        ({"answers": [True]}, "is neither a text nor a number"),
    ],
)
def test_answers_are_read_however_they_are_written(row: dict[str, Any], said: Any, tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [{"context": "c", "question": "q"} | row])
    if isinstance(said, list):
        assert squad_rows(tmp_path / "a.jsonl")[0][0]["answers"] == said
    else:
        with pytest.raises(DataError, match=said):
            squad_rows(tmp_path / "a.jsonl")


def test_a_folder_without_texts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"x")
    with pytest.raises(DataError, match=r"holds no file that ends in \.md"):
        list(documents(tmp_path))
