"""Rows that are kept on disk are those that would be in memory, and never those of another file, setting or code."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from filelock import FileLock
from transformers import AutoTokenizer

from lit_llm.data import ExtractionData, MixedData, TranslationData
from lit_llm.data.base import LMData
from lit_llm.data.hygiene.orthography import NahuatlOrthography
from lit_llm.data.stored import cache, reading, writing
from lit_llm.data.stored.keys import row_key
from lit_llm.data.stored.reading import StoredSplit
from lit_llm.data.tokens.dataset import Example, Split
from lit_llm.errors import ConfigError, DataError
from lit_llm.generation import JsonSchemaConstraint
from lit_llm.strict_json import dumps
from tests.short_runs import fit, logged

SCHEMA = {"type": "object", "properties": {"n": {"type": "number"}}, "required": ["n"]}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of kept rows, with small batches and pages so that several are met."""
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "cache"))
    for room in (writing, reading):
        monkeypatch.setattr(room, "BATCH", 8)
    monkeypatch.setattr(reading, "PAGES", 3)
    return tmp_path / "cache" / "rows"


def orders(path: Path, count: int = 21) -> str:
    """Write rows with what JSON, Unicode and templates make hard."""
    texts = ["dos panes", " orilla ", "¿Qué? — 😀", "DOS PANES", "in calli, Ōtlācat ꞌ", "x " * 30]
    rows = [{"id": f"r{k}", "text": texts[k % 6] + str(k // 6), "lugar": k % 3 or None} for k in range(count)]
    lines = [
        dumps(row)[:-1] + f', "json": {{"n": {k}.50, "s": "\\u007f{k}", "l": [null, true, 1e-7]}}}}'
        for k, row in enumerate(rows)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def pairs(path: Path) -> str:
    """Write pairs, of which the cleaner leaves some out and mends others."""
    rows = [
        {"id": f"p{k}", "es": f"La casa {k} .", "nah": f"In calli {k}", "dialect": "clásico" if k % 2 else None}
        for k in range(17)
    ]
    rows += [{"id": "empty", "es": "x", "nah": ""}, {"id": "copy", "es": "Lo mismo aquí", "nah": "Lo mismo aquí"}]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def extraction(tmp_path: Path, **settings: Any) -> LMData:
    return ExtractionData(train=orders(tmp_path / "t.jsonl"), valid=orders(tmp_path / "v.jsonl", 7), **settings)


def with_schema(tmp_path: Path, **settings: Any) -> LMData:
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    return extraction(tmp_path, schema=str(tmp_path / "schema.json"), keep=["lugar"], **settings)


def with_bad_rows(tmp_path: Path, **settings: Any) -> LMData:
    data = extraction(tmp_path, bad_rows="skip", **settings)
    path = tmp_path / "t.jsonl"
    path.write_text(path.read_text() + '{"id": "bad", "text": 3, "json": {}}\n{"id": "r1"}\n')
    return data


def cut(tmp_path: Path, **settings: Any) -> LMData:
    return extraction(tmp_path, max_length=75, overflow="truncate_input", learn="text", **settings)


def dropped(tmp_path: Path, **settings: Any) -> LMData:
    return extraction(tmp_path, max_length=75, overflow="drop", **settings)


def translation(tmp_path: Path, **settings: Any) -> LMData:
    shots = {"es-nah": [["Hola", "Tlen quihtoa"]]}
    return TranslationData(
        train=pairs(tmp_path / "p.jsonl"), valid=pairs(tmp_path / "q.jsonl"), shots=shots, **settings
    )


def parallel(tmp_path: Path, **settings: Any) -> LMData:
    (tmp_path / "p.es").write_text("La casa.\nEl pan.\n")
    (tmp_path / "p.nah").write_text("In calli.\nIn tlaxcalli.\n")
    return TranslationData(train=str(tmp_path / "p.{lang}"), **settings)


def mixed(tmp_path: Path, **settings: Any) -> LMData:
    return MixedData({"a": extraction(tmp_path, **settings), "b": translation(tmp_path, **settings)})


KINDS = [extraction, with_schema, with_bad_rows, cut, dropped, translation, parallel, mixed]
SELDOM = [extraction, with_schema, translation, cut, dropped]


def set_up(data: LMData, root: Path, stage: str = "fit") -> LMData:
    data.tokenizer = AutoTokenizer.from_pretrained(root / "checkpoints" / "qwen3-tiny")
    data.setup(stage)
    return data


def parts(data: LMData) -> list[LMData]:
    return list(data.parts.values()) if isinstance(data, MixedData) else [data]


@pytest.mark.parametrize("make", [pytest.param(kind, marks=[pytest.mark.slow] * (kind in SELDOM)) for kind in KINDS])
def test_kept_rows_are_those_in_memory(make: Callable[..., LMData], tmp_path: Path, root: Path, folder: Path) -> None:
    plain = set_up(make(tmp_path, cache=False), root)
    assert not folder.exists()
    first, second = (set_up(make(tmp_path, cache=True), root) for _ in range(2))
    for kept in (first, second):
        for mine, other in zip(parts(kept), parts(plain), strict=True):
            for name, split in other.splits.items():
                stored = mine.splits[name]
                assert isinstance(stored, StoredSplit)
                assert list(stored.rows) == list(split.rows)
                assert [dumps(e.reference) for e in stored.examples] == [dumps(e.reference) for e in split.examples]
                assert stored.examples[:3] == split.examples[:3]
                assert stored.rows[-1] == split.rows[-1]
                assert (stored.truncated > 0) is (make is cut)
                assert (stored.dropped > 0) is (make is dropped and name == "train")
                for prompt in (False, True):
                    assert list(stored.lengths(prompt=prompt)) == list(split.lengths(prompt=prompt))
                assert (len(stored), stored.dropped, stored.factor) == (len(split), split.dropped, split.factor)
                assert stored.content == split.content
                with pytest.raises(IndexError):
                    stored.rows[len(stored.rows)]
            assert mine.counts == other.counts
            assert mine.skipped == other.skipped
        assert kept.audit() == plain.audit()
        loaders = [data.train_dataloader() for data in (kept, plain)]
        for mine_batch, batch in zip(*loaders, strict=True):
            assert (mine_batch.ids, mine_batch.meta) == (batch.ids, batch.meta)
            assert mine_batch.labels.equal(batch.labels)
        assert kept.state_dict() == plain.state_dict()


def test_rows_open_in_another_process(tmp_path: Path, root: Path) -> None:
    split = set_up(with_schema(tmp_path, cache=True), root).splits["train"]
    assert list(pickle.loads(pickle.dumps(split.rows))) == list(split.rows)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda data: setattr(data, "batch_size", 2), True),
        (lambda data: setattr(data, "seed", 9), True),
        (lambda data: data.counts.update(["x"]), True),
        (lambda data: setattr(data, "max_length", 99), False),
        (lambda data: setattr(data, "system", "Responde."), False),
        (lambda data: setattr(data, "learn", "text"), False),
        (lambda data: setattr(data, "keep", ["lugar"]), False),
        (lambda data: setattr(data, "of_a_subclass", {"any": [1, {2.5, 3}]}), False),
        (lambda data: Path(data.files["train"]).write_text(Path(data.files["train"]).read_text() + "\n"), False),
        (lambda data: data.tokenizer.add_tokens(["<extra>"]), False),
        (lambda data: setattr(data.tokenizer, "eos_token", "<|endoftext|>"), False),
    ],
)
def test_what_decides_rows_decides_their_key(
    change: Callable[[Any], None], same: bool, tmp_path: Path, root: Path
) -> None:
    data = extraction(tmp_path)
    data.tokenizer = AutoTokenizer.from_pretrained(root / "checkpoints" / "qwen3-tiny")
    path = Path(str(data.files["train"]))
    before = row_key(data, "train", path)
    assert before is not None
    change(data)
    data.__dict__.pop("format", None)
    assert (row_key(data, "train", path) == before) is same
    assert row_key(data, "valid", path) != before


def test_a_grammar_decides_rows_and_not_what_it_has_worked_out(tmp_path: Path, root: Path) -> None:
    pytest.importorskip("llguidance")
    data: Any = set_up(with_schema(tmp_path), root)
    path = Path(data.files["train"])
    keys = [row_key(data, "train", path)]
    constraint = JsonSchemaConstraint()
    # The trainer's model has it; any object with the same attribute will do.
    data.trainer = SimpleNamespace(lightning_module=SimpleNamespace(constraints={"generator": constraint}))
    keys.append(row_key(data, "train", path))
    constraint.fault('{"n":1}', {"schema": SCHEMA})
    constraint.start(data.format.tokenizer, [{"schema": SCHEMA}], [0], 1024)
    keys.append(row_key(data, "train", path))
    assert None not in keys
    assert keys[0] != keys[1]
    assert keys[1] == keys[2]


def test_a_speller_that_has_worked_decides_no_other_rows(tmp_path: Path, root: Path) -> None:
    pytest.importorskip("elotl")
    data: Any = TranslationData(train=pairs(tmp_path / "p.jsonl"), orthography=NahuatlOrthography())
    data.tokenizer = AutoTokenizer.from_pretrained(root / "checkpoints" / "qwen3-tiny")
    path = Path(data.files["train"])
    before = row_key(data, "train", path)
    data.orthography.write("in calli")
    assert before is not None
    assert row_key(data, "train", path) == before


class Upper(ExtractionData):
    """A data module of a user, who changes what is read and knows nothing of ways to read one by one."""

    def read(self, path: Path) -> list[Example]:
        return [replace(example, text=example.text.upper()) for example in super().read(path)]


class Some(TranslationData):
    """One who leaves rows out."""

    def select(self, name: str, examples: list[Example]) -> list[Example]:
        return super().select(name, examples)[::2]


@pytest.mark.parametrize(("kind", "write"), [(Upper, orders), (Some, pairs)])
def test_what_a_user_changes_is_kept(kind: Any, write: Callable[[Path], str], tmp_path: Path, root: Path) -> None:
    train = write(tmp_path / "t.jsonl")
    plain, kept = (set_up(kind(train=train, cache=kept), root).splits["train"] for kept in (False, True))
    assert isinstance(kept, StoredSplit)
    assert list(kept.rows) == list(plain.rows)


OWN_FILE = """
from dataclasses import replace
from lit_llm.data import ExtractionData

def clean(text):
    return text.HOW()

class FromFile(ExtractionData):
    def read(self, path):
        return [replace(example, text=clean(example.text)) for example in super().read(path)]
"""


def test_what_stands_beside_a_class_of_a_user_decides_its_rows(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    train, texts = orders(tmp_path / "t.jsonl"), []
    for how in ("upper", "lower"):
        (tmp_path / f"own_{how}.py").write_text(OWN_FILE.replace("HOW", how))
        kind = importlib.import_module(f"own_{how}").FromFile
        texts.append(set_up(kind(train=train, cache=True), root).splits["train"].examples[0].text)
    assert texts == ["DOS PANES0", "dos panes0"]


class Encoding(ExtractionData):
    """A user who encodes in another way."""

    def encode(self, name: str, examples: list[Example]) -> Split:
        return super().encode(name, [replace(example, text=example.text.upper()) for example in examples])


class Giving(ExtractionData):
    """A user who gives examples something that JSON does not hold."""

    given: dict[str, Any]

    def read(self, path: Path) -> list[Example]:
        return [replace(example, **self.given) for example in super().read(path)]


TUPLE, NUMBERED = {"meta": {"t": (1,)}}, {"meta": {"d": {2: 1}}}


@pytest.mark.parametrize(
    "given", [None, {"reference": (1, 2)}, {"reference": {1}}, {"error": "cannot"}, TUPLE, NUMBERED]
)
def test_rows_that_would_be_others_stay_in_memory(
    given: dict[str, Any] | None, tmp_path: Path, root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind: Any = Giving if given else Encoding
    Giving.given = given or {}
    valid = orders(tmp_path / "v.jsonl")
    with pytest.raises(ConfigError, match=r"data\.init_args\.cache: .*: leave it out"):
        set_up(kind(valid=valid, cache=True), root, "validate")
    monkeypatch.setattr(cache, "LARGE", 1)
    found, plain = (set_up(kind(valid=valid, cache=kept), root, "validate") for kept in (None, False))
    assert list(found.splits["valid"].rows) == list(plain.splits["valid"].rows)
    assert found.counts == plain.counts
    assert not list(folder.glob("*/about.json"))


def test_values_as_deep_as_may_be_are_kept(tmp_path: Path, root: Path) -> None:
    deep = '{"a":' * 63 + "[1]" + "}" * 63
    (tmp_path / "t.jsonl").write_text(f'{{"text": "hondo", "json": {json.dumps(deep)}}}\n')
    split = set_up(ExtractionData(train=str(tmp_path / "t.jsonl"), cache=True), root).splits["train"]
    assert isinstance(split, StoredSplit)
    assert dumps(split.examples[0].reference) == deep


def test_what_is_wrong_with_a_path_is_said_of_the_path(
    tmp_path: Path, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(DataError, match="is a folder"):
        set_up(ExtractionData(train=str(tmp_path), cache=True), root)
    # What is captured of a test travels between processes, as UTF-8.
    caplog.set_level("ERROR", "lightning.pytorch.utilities.rank_zero")
    odd = os.fsdecode(os.fsencode(str(tmp_path)) + b"/n\xff.jsonl")
    orders(Path(odd))
    with pytest.raises(ConfigError, match=r"data\.init_args\.cache: encoded rows cannot be kept"):
        set_up(ExtractionData(train=odd, cache=True), root)
    assert set_up(ExtractionData(train=odd), root).counts["train rows"] == 21


def test_skipped_rows_keep_their_digits(tmp_path: Path, root: Path) -> None:
    train = orders(tmp_path / "t.jsonl")
    with Path(train).open("a") as file:
        file.write('{"id": "c", "text": 5.50, "json": {"n": 1.50}}\n')
    written = []
    for name, kept in {"plain": False, "first": True, "second": True}.items():
        data = set_up(ExtractionData(train=train, bad_rows="skip", cache=kept), root)
        data.write_skipped(tmp_path / name)
        written.append((tmp_path / name / "bad_rows" / "t.jsonl.jsonl").read_text())
    assert "5.50" in written[0]
    assert written[0] == written[1] == written[2]


class Own(ExtractionData):
    """A data module of a user, with something that cannot be written down."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.rule = lambda text: text


def test_a_module_that_cannot_be_written_down_stays_in_memory(tmp_path: Path, root: Path, folder: Path) -> None:
    train = orders(tmp_path / "t.jsonl")
    with pytest.raises(ConfigError, match=r"data\.init_args\.cache: what decides the rows of Own cannot all be"):
        set_up(Own(train=train, cache=True), root)
    assert not isinstance(set_up(Own(train=train), root).splits["train"], StoredSplit)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("file", "harm"),
    [
        (writing.ROWS, "cut"),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in [(writing.SHARED, "gone"), (writing.ABOUT, "other")]),
    ],
)
def test_damaged_rows_are_made_anew(file: str, harm: str, tmp_path: Path, root: Path, folder: Path) -> None:
    rows = list(set_up(with_schema(tmp_path, cache=True), root).splits["train"].rows)
    harmed = [path for path in folder.iterdir() if path.is_dir()]
    for path in harmed:
        # What a killed process leaves is in nobody's way.
        path.with_name(f".{path.name}.part").mkdir()
        if harm == "gone":
            (path / file).unlink()
        elif harm == "other":
            (path / file).write_text("[]")
        else:
            (path / file).write_bytes((path / file).read_bytes()[:-9])
    assert list(set_up(with_schema(tmp_path, cache=True), root).splits["train"].rows) == rows
    assert sorted(path for path in folder.iterdir() if path.is_dir()) == sorted(harmed)


def test_rows_that_no_run_opens_are_removed_in_the_end(tmp_path: Path, root: Path, folder: Path) -> None:
    for length, days in ((999, 31), (998, 29), (997, 31)):
        set_up(ExtractionData(train=orders(tmp_path / "t.jsonl"), cache=True, max_length=length), root)
        newest = max(folder.glob("*/about.json"), key=lambda path: path.stat().st_mtime)
        past = newest.stat().st_mtime - days * 24 * 3600
        os.utime(newest, (past, past))
    # To open rows is to use them.
    set_up(ExtractionData(train=orders(tmp_path / "t.jsonl"), cache=True, max_length=997), root)
    assert len(list(folder.glob("*/about.json"))) == 2
    set_up(ExtractionData(train=orders(tmp_path / "t.jsonl"), cache=True, max_length=996), root)
    assert len(list(folder.glob("*/about.json"))) == 3


@pytest.mark.parametrize("left", [".{}.part", ".{}.old"])
def test_what_a_killed_process_has_left_goes(left: str, tmp_path: Path, root: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    for key in ("dead", "alive"):
        (folder / left.format(key)).mkdir()
        (folder / left.format(key) / "rows.arrow").write_bytes(b"ARROW1")
    with FileLock(folder / "alive.lock"):
        set_up(extraction(tmp_path, cache=True), root)
    assert [path.name for path in folder.glob(".*")] == [left.format("alive")]


def test_bad_rows_are_told_and_nothing_is_kept(tmp_path: Path, root: Path, folder: Path) -> None:
    data = with_bad_rows(tmp_path, cache=True)
    data.bad_rows = "error"
    with pytest.raises(DataError, match=r"t\.jsonl:22: field 'text'"):
        set_up(data, root)
    assert [path for path in folder.iterdir() if path.suffix != ".lock"] == []


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc/self").exists(), reason="needs a folder nobody can write")
def test_where_nothing_can_be_written_rows_stay_in_memory(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # A file in the place of the folder stops root too.
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "file"))
    monkeypatch.setattr(cache, "LARGE", 1)
    assert not isinstance(set_up(extraction(tmp_path), root).splits["train"], StoredSplit)
    with pytest.raises(ConfigError, match=r"cache: encoded rows cannot be kept in .*file.*: .*LIT_LLM_CACHE"):
        set_up(extraction(tmp_path, cache=True), root)


def test_large_files_are_kept_without_being_asked(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "LARGE", (Path(orders(tmp_path / "t.jsonl"))).stat().st_size)
    splits = set_up(extraction(tmp_path), root).splits
    assert [isinstance(splits[name], StoredSplit) for name in ("train", "valid")] == [True, False]


def _opened(folder: str, root: str, queue: Any) -> None:
    data = set_up(ExtractionData(train=f"{folder}/t.jsonl", cache=True), Path(root))
    queue.put([len(data.splits["train"]), data.splits["train"].content])


@pytest.mark.slow
def test_processes_that_need_the_same_rows_write_them_once(tmp_path: Path, root: Path, folder: Path) -> None:
    orders(tmp_path / "t.jsonl", 400)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=_opened, args=(str(tmp_path), str(root), queue)) for _ in range(2)]
    for process in processes:
        process.start()
    found = [queue.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    assert found[0] == found[1]
    assert found[0][0] == 400
    assert len([path for path in folder.iterdir() if path.is_dir()]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_over_kept_rows_is_the_same_run(workers: int, tmp_path: Path, root: Path) -> None:
    train = orders(tmp_path / "t.jsonl")
    augmenter = {"class_path": "lit_llm.data.Augmenter"}
    settings: dict[str, Any] = {"train": train, "valid": train, "batch_size": 4, "augmenter": augmenter}
    settings |= {"augmentation_factor": 2, "num_workers": workers}
    base = str(root / "checkpoints/qwen3-tiny")
    found = {}
    for name, kept in {"plain": False, "kept": True}.items():
        run = fit(tmp_path / name, settings | {"cache": kept}, steps=6, backbone=base)
        found[name] = {key: value for key, value in logged(run).items() if not key.startswith(("speed", "memory"))}
        found[name]["weights"] = (run / "adapter" / "adapter_model.safetensors").read_bytes()
    assert found["plain"] == found["kept"]


@pytest.mark.slow
def test_many_rows_are_not_held_in_memory(root: Path) -> None:
    script = root / "scripts" / "benchmarks" / "rows.py"
    command = [sys.executable, str(script), "--rows", "2000,30000", "--steps", "2"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, cwd=root).stdout
    assert "second start, 30,000 rows over 2,000" in shown
    memory = float(shown.rpartition("over 2,000: ")[2].split()[0])
    # All of them as objects would take some 85 MiB more, over 600.
    assert memory < 1.1
