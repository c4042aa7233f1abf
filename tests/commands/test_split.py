"""``python -m lit_llm split``: what belongs together stays together, and nothing is lost."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import pytest

from lit_llm.__main__ import main
from lit_llm.data.hygiene.splitting import clusters, split
from lit_llm.errors import ConfigError
from tests.commands.test_audit import misspelt, sentence

SPLITS = ("train", "valid", "test")


def rows(count: int = 600) -> list[dict[str, Any]]:
    """Pairs of which one in three has a twin on one side, in documents of up to four."""
    rng = random.Random(0)
    made = [{"es": sentence(rng), "nah": sentence(rng), "document": f"d{k // 4}"} for k in range(count)]
    for k in range(0, count - 40, 3):
        made[k + 33]["es"] = misspelt(rng, made[k]["es"]) if k % 2 else made[k]["es"].upper()
    return made


def write(path: Path, made: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made), encoding="utf-8")
    return str(path)


def read(folder: Path) -> dict[str, list[dict[str, Any]]]:
    files = {name: (folder / f"{name}.jsonl").read_text("utf-8").splitlines() for name in SPLITS}
    return {name: [json.loads(line) for line in lines] for name, lines in files.items()}


def test_the_splits_hold_every_row_once_and_audit_finds_nothing(tmp_path: Path) -> None:
    made = rows()
    for row in made:
        row.pop("document")
    options = ["--fields", "es,nah", "--valid", "0.1", "--test", "0.2", "--output", str(tmp_path / "out")]
    assert main(["split", write(tmp_path / "all.jsonl", made), *options]) == 0
    found = read(tmp_path / "out")
    assert sorted((row["es"], row["nah"]) for part in found.values() for row in part) == sorted(
        (row["es"], row["nah"]) for row in made
    )
    assert [len(found[name]) for name in SPLITS[1:]] == [60, 120]
    ids = [row["id"] for part in found.values() for row in part]
    assert sorted(ids, key=lambda one: int(one.split("-")[1])) == [f"all-{k + 1}" for k in range(len(made))]

    settings = {name: str(tmp_path / "out" / f"{name}.jsonl") for name in SPLITS}
    config = {
        "data": {
            "class_path": "lit_llm.data.TranslationData",
            "init_args": {"train": settings["train"], "valid": settings["valid"], "test": {"t": settings["test"]}},
        }
    }
    (tmp_path / "run.yaml").write_text(json.dumps(config))
    assert main(["audit", "--config", str(tmp_path / "run.yaml")]) == 0


def test_documents_stay_whole(tmp_path: Path) -> None:
    options = ["--fields", "nah", "--together", "document", "--output", str(tmp_path / "out"), "--test", "0.2"]
    assert main(["split", write(tmp_path / "all.jsonl", rows(200)), *options]) == 0
    parts = [{row["document"] for row in part} for part in read(tmp_path / "out").values()]
    assert all(parts)
    assert not parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2]


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_gives_the_same_files(tmp_path: Path, seed: int) -> None:
    path = write(tmp_path / "all.jsonl", rows(200))
    for name, number in (("a", seed), ("b", seed), ("c", 7)):
        assert main(["split", path, "--fields", "es", "--output", str(tmp_path / name), "--seed", str(number)]) == 0
    assert read(tmp_path / "a") == read(tmp_path / "b")
    assert read(tmp_path / "a") != read(tmp_path / "c")


def test_a_share_of_nothing_is_no_file(tmp_path: Path) -> None:
    path, folder = write(tmp_path / "all.jsonl", rows(200)), tmp_path / "out"
    assert main(["split", path, "--fields", "nah", "--output", str(folder), "--test", "0"]) == 0
    assert sorted(file.name for file in folder.iterdir()) == ["train.jsonl", "valid.jsonl"]


def test_nothing_of_an_earlier_split_is_left(tmp_path: Path) -> None:
    options = ["split", write(tmp_path / "all.jsonl", rows(200)), "--fields", "nah", "--output", str(tmp_path / "out")]
    assert main(options) == 0
    assert main([*options, "--test", "0", "--overwrite"]) == 0
    assert not (tmp_path / "out" / "test.jsonl").exists()


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_other_kinds_of_file(tmp_path: Path, suffix: str) -> None:
    made, path = rows(100), tmp_path / f"all.{suffix}"
    if suffix == "csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(made[0]))
            writer.writeheader()
            writer.writerows(made)
    else:
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(made), path)
    assert main(["split", str(path), "--fields", "es", "--output", str(tmp_path / "out"), "--test", "0.1"]) == 0
    parts = read(tmp_path / "out")
    assert sum(map(len, parts.values())) == 100
    assert set(parts["train"][0]) == {"id", "es", "nah", "document"}


def test_numbers_keep_their_digits(tmp_path: Path) -> None:
    lines = [f'{{"id":"r{k}","t":"fila {k}","n":[0.00001,12.50,{k}.12345678901234567890]}}' for k in range(30)]
    (tmp_path / "all.jsonl").write_text("\n".join(lines))
    options = ["--fields", "t", "--near", "1", "--output", str(tmp_path / "out"), "--valid", "0.1", "--test", "0.1"]
    assert main(["split", str(tmp_path / "all.jsonl"), *options]) == 0
    assert sorted(line for name in SPLITS for line in (tmp_path / "out" / f"{name}.jsonl").open()) == sorted(
        f"{line}\n" for line in lines
    )


def test_a_table_of_another_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "".join(f'"año; {k}";{k}\n' for k in range(40))
    (tmp_path / "all.csv").write_bytes(text.encode("windows-1252"))
    options = ["--output", str(tmp_path / "out"), "--valid", "0.1", "--test", "0.1", "--near", "1", "--fields"]
    command = ["split", str(tmp_path / "all.csv"), *options]
    assert main([*command, "t"]) == 1
    assert "set --encoding to windows-1252" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*command, "t", "--encoding", "windows-1252", "--delimiter", ";", "--header", "t,n"]) == 0
    found = [row for part in read(tmp_path / "out").values() for row in part]
    assert sorted((row["t"], row["n"]) for row in found) == sorted((f"año; {k}", str(k)) for k in range(40))


def test_what_is_linked_through_another_row_is_one_cluster() -> None:
    sides = {"es": ["uno dos", "uno dos", "tres", "…", "…"], "nah": ["ce", "ome", "ome", "", ""]}
    assert clusters(sides) == [[0, 1, 2], [3], [4]]
    assert clusters(sides, [["", "", "", "d", "d"]]) == [[0, 1, 2], [3, 4]]


def test_a_part_never_holds_more_than_its_share() -> None:
    found = [list(range(k * 7, k * 7 + 7)) for k in range(30)] + [[210 + k] for k in range(20)]
    dealt = split(found, {"valid": 0.1, "test": 0.1})
    assert [len(dealt[name]) for name in SPLITS] == [184, 23, 23]
    assert sorted(place for places in dealt.values() for place in places) == list(range(230))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fields", "en"], "no row has a field 'en'; there are id, es, nah, document"),
        (["--fields", "es", "--test", "0.97"], "below 1 together"),
        (["--fields", "es", "--test", "0.0001"], "test stays empty"),
        (["--fields", "es", "--output", "{there}"], "add --overwrite to replace it"),
    ],
)
def test_what_cannot_be_split(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "valid.jsonl").touch()
    path = write(tmp_path / "all.jsonl", rows(100))
    named = [option.format(there=tmp_path / "there") for option in options]
    assert main(["split", path, "--output", str(tmp_path / "out"), *named]) == 1
    assert message in capsys.readouterr().err


def test_a_crowded_cluster_is_explained() -> None:
    with pytest.raises(ConfigError, match="4 rows form 1 clusters, the largest of 4 rows"):
        split([[0, 1, 2, 3]], {"valid": 0.25})
