"""An index: written to the same bytes whenever it is stopped, searched as a slow search does, refused where foreign."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lit_llm.errors import ConfigError, DataError
from lit_llm.models.choosing import likeness
from lit_llm.retrieval import Entry, IndexWriter, VectorIndex, approximate, writing
from lit_llm.retrieval.search import nearest

ABOUT = {"model": {"rate": 16, "compressor": "abc"}, "vectors": 4, "width": 8}


def vectors(ids: Tensor, mask: Tensor) -> Tensor:
    """Vectors that follow from the first token alone, a few of them alike."""
    return torch.stack([torch.randn(4, 8, generator=torch.Generator().manual_seed(int(row[0]) % 900)) for row in ids])


def corpus(count: int) -> list[tuple[Entry, list[int]]]:
    return [(Entry(f"d{k}/0", f"d{k}", 0, 6, f"año {k}\n"), [k + 1, *range(k % 5)]) for k in range(count)]


def begun(folder: Path, count: int = 1000, **about: Any) -> IndexWriter:
    writer = IndexWriter(folder, ABOUT | about)
    assert writer.begin(corpus(count)) == count
    return writer


def written(folder: Path, count: int = 1000) -> VectorIndex:
    writer = begun(folder, count)
    for start, end in writer.windows():
        writer.write(start, end, vectors, torch.device("cpu"))
    writer.finish()
    return VectorIndex(folder)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Stopped(Exception):
    """The process would have ended here."""


@pytest.mark.parametrize("after", [0, 1, 2, 4])
def test_stopped_anywhere_it_goes_on_to_the_same_bytes(after: int, tmp_path: Path) -> None:
    whole = written(tmp_path / "whole")
    writer = begun(tmp_path / "parts")

    def stops(ids: Tensor, mask: Tensor) -> Tensor:
        found = vectors(ids, mask)
        # What a window has written without a note of it is written again.
        np.load(tmp_path / "parts" / "vectors.npy", mmap_mode="r+")[:] = 7
        raise Stopped(found)

    for at, (start, end) in enumerate(writer.windows()):
        if at == after:
            before = np.load(tmp_path / "parts" / "vectors.npy").copy()
            with pytest.raises(Stopped):
                writer.write(start, end, stops, torch.device("cpu"))
            np.save(tmp_path / "parts" / "vectors.npy", before)
            break
        writer.write(start, end, vectors, torch.device("cpu"))
    with pytest.raises(ConfigError, match=r"it was begun and not finished: give the command again"):
        VectorIndex(tmp_path / "parts")
    parts = written(tmp_path / "parts")
    assert content(parts.folder) == content(whole.folder)
    assert not {writing.PROGRESS, writing.TOKENS, writing.PLACES} & set(content(whole.folder))


def test_an_index_says_what_its_passages_are(tmp_path: Path) -> None:
    index = written(tmp_path / "index", 300)
    assert len(index) == 300
    assert [index.entry(n) for n in (0, 299)] == [corpus(300)[n][0] for n in (0, 299)]
    assert torch.equal(
        index.vectors(torch.tensor([[3, 1]]))[0, 0], vectors(torch.tensor([[4]]), torch.ones(1))[0].half()
    )


@pytest.mark.parametrize("block", [1 << 9, 1 << 13, 64 << 20])
def test_a_search_by_blocks_finds_what_one_product_does(
    block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lit_llm.retrieval.search.BLOCK_BYTES", block)
    index = written(tmp_path / "index")
    asked = torch.randn(5, 32)
    flat = torch.from_numpy(np.array(index.flat)).double()
    wanted = torch.nn.functional.cosine_similarity(asked.double()[:, None], flat[None], dim=-1)
    found = index.search(asked, 7)
    best = wanted.sort(dim=1, descending=True).values[:, :7]
    assert torch.allclose(found.scores.double(), best, atol=1e-6)
    assert torch.allclose(wanted.gather(1, found.numbers), best, atol=1e-6)
    # Passages 900 apart have the same vectors: the first of them comes first.
    twins = index.search(index.vectors(torch.tensor([5])).flatten(1).float(), 2)
    assert twins.numbers.tolist() == [[5, 905]]
    assert index.search(asked, 5000).numbers.shape == (5, 1000)


def test_an_approximate_search_is_measured_and_gives_exact_scores(tmp_path: Path) -> None:
    pytest.importorskip("usearch")
    index = written(tmp_path / "index", 3000)
    approximate.build(index.folder, index.flat, index.norms)
    asked = torch.from_numpy(np.array(index.flat[::15])).float() + 0.5 * torch.randn(200, 32)
    about = approximate.measured(index.folder, index.flat, index.norms, asked, 10, 0.98)
    assert about is not None and about["recall@10"] >= 0.98 and 10 < about["candidates"] < 3000
    writer = IndexWriter(index.folder, ABOUT)
    assert writer.is_finished and not writer.has_approximate
    writer.finish(about)
    quick = VectorIndex(index.folder)
    assert IndexWriter(index.folder, ABOUT).has_approximate
    some, exact = quick.search(asked, 10), quick.search(asked, 10, exact=True)
    same = (some.scores >= exact.scores[:, -1:] - 1e-6).double().mean()
    assert float(same) == pytest.approx(about["recall@10"], abs=1e-4)
    assert torch.allclose(some.scores[:, 0], exact.scores[:, 0], atol=1e-6)
    alone = [quick.search(question[None], 10) for question in asked[:20]]
    assert torch.equal(torch.cat([found.numbers for found in alone]), some.numbers[:20])
    before = content(index.folder)
    approximate.build(index.folder, index.flat, index.norms)
    assert content(index.folder) == before


def test_another_content_is_refused_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    index = written(tmp_path / "index", 300)
    with pytest.raises(ConfigError, match=r"holds an index whose width is another.*--overwrite"):
        IndexWriter(index.folder, ABOUT | {"width": 16})
    with pytest.raises(ConfigError, match=r"another model \(compressor: abc, and here xyz\)"):
        index.refuse_foreign({"rate": 16, "compressor": "xyz"})
    index.refuse_foreign(ABOUT["model"])
    writer = IndexWriter(index.folder, ABOUT | {"width": 16}, overwrite=True)
    assert not writer.is_finished and writer.begin(corpus(5)) == 5
    with pytest.raises(ConfigError, match="was begun and not finished"):
        VectorIndex(index.folder)


@pytest.mark.parametrize("before", ["nothing", "a folder", "another", "the same", "a beginning"])
def test_a_corpus_that_is_refused_leaves_everything_as_it_was(before: str, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    if before in ("another", "the same"):
        written(folder, 30)
    elif before == "a beginning":
        begun(folder, 30)
    elif before == "a folder":
        folder.mkdir()
    known = content(folder) if folder.exists() else None
    about = ABOUT | ({"width": 16} if before == "another" else {})
    writer = IndexWriter(folder, about, overwrite=known is not None)
    with pytest.raises(DataError, match="two passages are named 'd0/0'"):
        writer.begin([*corpus(3), *corpus(1)])
    assert (content(folder) if folder.exists() else None) == known
    assert writer.begin(corpus(3)) == 3


@pytest.mark.parametrize("names", [["mine.txt"], ["passages.jsonl", "train.jsonl"], ["index.json", "mine.txt"]])
@pytest.mark.parametrize("overwrite", [True, False])
def test_files_that_are_no_index_stay(names: list[str], overwrite: bool, tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).write_text('{"a": 1}')
    with pytest.raises(ConfigError, match="holds files that are no index"):
        IndexWriter(tmp_path, ABOUT, overwrite=overwrite)
    index = written(tmp_path / "index", 30)
    (index.folder / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"no index, such as mine\.txt"):
        IndexWriter(index.folder, ABOUT, overwrite=overwrite)
    assert {*names, "index"} == {path.name for path in tmp_path.iterdir()}
    with pytest.raises(ConfigError, match="is a file: name a folder"):
        IndexWriter(tmp_path / names[0], ABOUT, overwrite=overwrite)


@pytest.mark.parametrize("name", ["vectors.npy", "norms.npy", "offsets.npy", "passages.jsonl"])
def test_an_index_that_was_not_copied_whole_is_refused(name: str, tmp_path: Path) -> None:
    index = written(tmp_path / "index", 30)
    file = index.folder / name
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(ConfigError, match="copy it whole, or compress it anew"):
        VectorIndex(index.folder)
    file.unlink()
    with pytest.raises(ConfigError, match=f"lacks {name}: copy it whole"):
        VectorIndex(index.folder)


def test_mixed_precision_changes_no_search(tmp_path: Path) -> None:
    index = written(tmp_path / "index", 300)
    asked = torch.randn(4, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = index.search(asked, 9)
    assert torch.equal(mixed.scores, index.search(asked, 9).scores)
    passages, questions = torch.randn(50, 4, 8) * 0.05 + 1, torch.randn(6, 4, 8) * 0.05 + 1
    rows = torch.arange(50).expand(6, 50)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = likeness(questions, passages, rows)
    assert torch.equal(rounded, likeness(questions, passages, rows)) and rounded.dtype == torch.float32


def test_an_approximate_search_that_finds_too_few_is_no_search(tmp_path: Path) -> None:
    pytest.importorskip("usearch")
    vectors = np.ones((3050, 32), dtype=np.float16)
    vectors[3000:] = np.random.default_rng(0).normal(size=(50, 32))
    norms = np.linalg.norm(vectors.astype(np.float32), axis=1)
    approximate.build(tmp_path, vectors, norms)
    asked = torch.from_numpy(vectors[2900::3]).float()
    graph = approximate.Neighbours.opened(tmp_path)
    candidates = graph.candidates(asked, 500)
    assert all(len(set(row)) == len(row) for row in ([n for n in row if n >= 0] for row in candidates.tolist()))
    about = approximate.measured(tmp_path, vectors, norms, asked, 10, 0.98)
    assert about is None or about["recall@10"] >= 0.98


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "it holds no passage"),
        ([(Entry("a", "a", 0, 1, "x"), [1]), (Entry("a", "b", 0, 1, "y"), [2])], "two passages are named 'a'"),
    ],
)
def test_a_corpus_that_cannot_be_named_is_refused(rows: list[Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=said):
        IndexWriter(tmp_path / "index", ABOUT).begin(rows)
    # It can be begun again.
    assert IndexWriter(tmp_path / "index", ABOUT).begin(corpus(3)) == 3


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_vectors_that_float16_cannot_hold_are_refused(value: float, tmp_path: Path) -> None:
    writer = begun(tmp_path / "index", 5)

    def broken(ids: Tensor, mask: Tensor) -> Tensor:
        found = vectors(ids, mask)
        found[3, 0, 0] = value
        return found

    with pytest.raises(DataError, match="the vectors of passage 3 do not fit float16"):
        writer.write(0, 5, broken, torch.device("cpu"))
    assert json.loads((tmp_path / "index" / writing.PROGRESS).read_text())["done"] == 0


def test_nothing_is_nearest_to_nothing() -> None:
    found = nearest(np.zeros((3, 4), dtype=np.float16), np.zeros(3, dtype=np.float32), torch.zeros(1, 4), 2)
    assert found.numbers.tolist() == [[0, 1]] and found.scores.tolist() == [[0, 0]]
