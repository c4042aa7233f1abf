"""Examples that are chosen for each row: the likest, from training pairs alone, and never what leaks."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from lit_llm.__main__ import main
from lit_llm.data import Saltillo, Shots, TranslationData
from lit_llm.data.hygiene.duplicates import similarity
from lit_llm.errors import ConfigError
from tests import short_runs

WORDS = ["agua", "casa", "perro", "maíz", "camino", "cielo", "noche", "mujer", "piedra", "flor", "monte", "lluvia"]
OTHER = ["atl", "calli", "tlaolli", "ohtli", "ilhuicatl", "yohualli", "cihuatl", "tetl", "xochitl", "tepetl"]


def pairs(count: int, seed: int, documents: int = 0) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    found = []
    for number in range(count):
        row = {
            "id": f"{seed}-{number}",
            "es": " ".join(rng.choices(WORDS, k=rng.randint(5, 9))),
            "nah": " ".join(rng.choices(OTHER, k=rng.randint(5, 9))),
        }
        found.append(row | ({"document": f"d{rng.randrange(documents)}"} if documents else {}))
    return found


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return str(path)


def data(root: Path, **settings: Any) -> TranslationData:
    module = TranslationData(max_length=2048, **settings)
    module.tokenizer = AutoTokenizer.from_pretrained(root / "checkpoints" / "qwen3-tiny")
    return module


SELECT = ["fuzzy", "bm25", "random"]


@pytest.mark.parametrize("select", SELECT)
def test_no_example_stands_in_a_cluster_or_document_with_its_row(tmp_path: Path, root: Path, select: Any) -> None:
    if select == "bm25":
        pytest.importorskip("bm25s", reason="needs the extra: pip install -e '.[retrieval]'")
    train, valid = pairs(60, 0, documents=25), pairs(20, 1, documents=25)
    # Planted: a valid source but for a word, a valid target but for case, and twins in training.
    train += [{**valid[0], "id": "p0", "es": valid[0]["es"] + " y", "nah": "cualli", "document": "x"}]
    train += [
        {**valid[1], "id": "p1", "es": "algo muy distinto de todo", "nah": valid[1]["nah"].upper(), "document": "y"}
    ]
    train += [{**train[0], "id": "p2", "nah": "otra cosa enteramente", "document": "z"}]
    files = {"train": write(tmp_path / "t.jsonl", train), "valid": write(tmp_path / "v.jsonl", valid)}
    module = data(root, **files, shots=Shots(select, n=3))
    module.setup("fit")
    known = {row["id"]: row for row in train}
    assert {len(example.meta["shots"]) for example in module.splits["train"].examples} == {3}
    for example in (*module.splits["train"].examples, *module.splits["valid"].examples):
        assert len(set(example.meta["shots"])) == 3
        assert [list(pair) for pair in example.context.shots] == [
            [known[name][side] for side in module.sides_of[example.meta["direction"]]] for name in example.meta["shots"]
        ]
        for name, (text, answer) in zip(example.meta["shots"], example.context.shots, strict=True):
            assert name != example.meta["pair"]
            assert similarity(text, example.text) < 0.7
            assert similarity(answer, example.answer) < 0.7
            assert known[name]["document"] != example.meta["document"]


@pytest.mark.parametrize("saltillo", [None, Saltillo(), Saltillo("'")])
def test_another_spelling_of_training_hides_no_reference(tmp_path: Path, root: Path, saltillo: Saltillo | None) -> None:
    twin = "to'toch niquitta ca' to'toch"
    train = [{"id": "leak", "es": "una cosa del todo distinta", "nah": twin}, *pairs(6, 0)]
    valid = write(tmp_path / "v.jsonl", [{"id": "v", "es": "otra frase sin relación", "nah": twin}])
    files = {"train": write(tmp_path / "t.jsonl", train), "valid": valid}
    module = data(root, **files, shots=Shots("random", n=6), directions=["es-nah"], saltillo=saltillo)
    module.setup("fit")
    (row,) = module.splits["valid"].examples
    assert len(row.meta["shots"]) == 6 and "leak" not in row.meta["shots"]


def test_a_row_is_given_the_same_whatever_stands_beside_it(tmp_path: Path, root: Path) -> None:
    train = pairs(30, 0)
    rows = pairs(6, 1)
    # Two rows that are near each other, one of which is near a training pair.
    rows[1] |= {"es": rows[0]["es"], "nah": train[0]["nah"]}
    files = {"train": write(tmp_path / "t.jsonl", train), "valid": write(tmp_path / "v.jsonl", rows)}
    module = data(root, **files, shots=Shots("random", n=29), directions=["es-nah"])
    module.setup("validate")
    together = {example.meta["pair"]: set(example.meta["shots"]) for example in module.splits["valid"].examples}
    assert train[0]["id"] not in together[rows[1]["id"]]
    assert together[rows[0]["id"]] == set(module.question(rows[0]["es"], direction="es-nah").meta["shots"])


def test_rows_that_cannot_be_answered_stay_in_their_place(tmp_path: Path, root: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"es": "agua casa"}\n{"es": 5}\nno JSON\n')
    module = data(
        root, train=write(tmp_path / "t.jsonl", pairs(6, 0)), predict=str(tmp_path / "p.jsonl"), shots=Shots(n=2)
    )
    module.setup("predict")
    assert module.lenient
    found = [(bool(row.error), len(row.meta.get("shots", []))) for row in module.splits["predict"].examples]
    assert sorted(found) == [(False, 2), (True, 0), (True, 0)]


def test_kept_rows_are_of_their_seed(tmp_path: Path, root: Path) -> None:
    train = write(tmp_path / "t.jsonl", pairs(12, 0))
    keys = [data(root, train=train, shots=Shots("random"), seed=seed).row_facts() for seed in (0, 0, 1)]
    assert keys[0] == keys[1] != keys[2]
    assert (
        data(root, train=train, shots=Shots(), seed=0).row_facts()
        == data(root, train=train, shots=Shots(), seed=1).row_facts()
    )


def test_one_document_leaves_nothing_to_show_and_takes_no_time(tmp_path: Path, root: Path) -> None:
    rows = [row | {"document": "uno"} for row in pairs(400, 0)]
    module = data(root, train=write(tmp_path / "t.jsonl", rows), shots=Shots(n=2), directions=["es-nah"])
    module.setup("fit")
    assert {len(example.meta["shots"]) for example in module.splits["train"].examples} == {0}
    assert len(module.question("agua casa", direction="es-nah").meta["shots"]) == 2
    assert (
        module.ask("agua casa")
        == module.format.encode("agua casa", None, context=module.question("agua casa").context).input_ids
    )


@pytest.mark.parametrize("direction", ["es-nah", "nah-es"])
def test_fuzzy_examples_are_the_likest_and_the_likest_is_last(tmp_path: Path, root: Path, direction: str) -> None:
    train = pairs(40, 0)
    source, target = direction.split("-")
    train[7][source] += " quetzalpapalotl"
    train[30][source] += " tlahuizcalpan tecuhtli"
    module = data(root, train=write(tmp_path / "t.jsonl", train), shots=Shots(n=2), directions=[direction])
    found = module.question("tecuhtli quetzalpapalotl tlahuizcalpan", direction=direction)
    assert found.meta["shots"] == ["0-7", "0-30"]
    assert found.context.shots[-1] == (train[30][source], train[30][target])


def test_random_examples_depend_on_seed_and_row_alone(tmp_path: Path, root: Path) -> None:
    train = write(tmp_path / "t.jsonl", pairs(40, 0))
    rows = pairs(6, 1)

    def drawn(some: list[dict[str, Any]], seed: int) -> dict[str, list[str]]:
        valid = write(tmp_path / "v.jsonl", some)
        module = data(root, train=train, valid=valid, shots=Shots("random", n=3), seed=seed, directions=["es-nah"])
        module.setup("validate")
        return {example.id: example.meta["shots"] for example in module.splits["valid"].examples}

    whole = drawn(rows, 0)
    assert drawn(rows[::-1][:3], 0) == {name: whole[name] for name in list(whole)[3:]}
    assert drawn(rows, 0) == whole != drawn(rows, 1)
    assert len({tuple(names) for names in whole.values()}) > 1


def test_training_rows_go_without_some_and_others_never(tmp_path: Path, root: Path) -> None:
    files = {"train": write(tmp_path / "t.jsonl", pairs(80, 0)), "valid": write(tmp_path / "v.jsonl", pairs(30, 1))}
    module = data(root, **files, shots=Shots(n=4, dropout=0.5))
    module.setup("fit")
    counts = [len(example.meta["shots"]) for example in module.splits["train"].examples]
    assert set(counts) == {0, 1, 2, 3, 4}
    assert sum(counts) / len(counts) == pytest.approx(2, abs=0.3)
    assert {len(example.meta["shots"]) for example in module.splits["valid"].examples} == {4}


def test_fewer_pairs_than_wanted_are_all_there_are(tmp_path: Path, root: Path) -> None:
    rows = [{"es": "uno", "nah": "ce"}, {"es": "dos mil", "nah": "ome"}, {"es": "Uno!", "nah": "yei"}]
    module = data(root, train=write(tmp_path / "t.jsonl", rows), shots=Shots(n=4), directions=["es-nah"])
    module.setup("fit")
    found = [[pair[0] for pair in example.context.shots] for example in module.splits["train"].examples]
    assert found == [["dos mil"], ["uno", "Uno!"], ["dos mil"]] or found == [["dos mil"], ["Uno!", "uno"], ["dos mil"]]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"n": 0}, "shots: n is 0"),
        ({"dropout": 1.0}, "dropout 1.0"),
        ({"near": 0.2}, "near 0.2"),
        ({"select": "dense"}, "shots.model: the folder of a sentence encoder"),
        ({"model": "x"}, "shots.model: the folder of a sentence encoder"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(setting: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Shots(**setting)


def test_a_run_is_trained_and_asked_with_examples(
    tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, valid = write(tmp_path / "t.jsonl", pairs(12, 0)), write(tmp_path / "v.jsonl", pairs(3, 1))
    rows = {"train": train, "valid": valid, "test": {"t": valid}, "max_length": 2048, "directions": ["es-nah"]}
    run = short_runs.fit(
        tmp_path / "run",
        rows | {"shots": {"select": "fuzzy", "n": 2, "dropout": 0.25}},
        steps=1,
        task="Translation",
        backbone=str(root / "checkpoints/qwen3-tiny"),
        generator={"class_path": "lit_llm.generation.Generator", "init_args": {"max_new_tokens": 4}},
    )
    assert main(["predict", "--config", str(run / "config.yaml")]) == 0
    text = (run / "predictions.csv").read_text()
    assert text.count('""shots"":[""0-') == 3
    capsys.readouterr()
    assert main(["ask", "--run", str(run), "--json", "agua casa perro"]) == 0
    assert len(json.loads(capsys.readouterr().out)["meta"]["shots"]) == 2
    assert main(["predict", "--config", str(run / "config.yaml"), "--data.train", "null", "--data.predict", valid]) == 1
    assert "examples are chosen from data.init_args.train: name its file" in " ".join(capsys.readouterr().err.split())
