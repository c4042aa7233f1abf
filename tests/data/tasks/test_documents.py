"""Questions with passages: every published layout, nothing cut in silence, and a prompt with room for vectors."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from lit_llm.batch import IGNORE
from lit_llm.data import DocumentsData
from lit_llm.data.passages import PassageRow, chunks
from lit_llm.data.passages.layouts import PAIRS, RETELL
from lit_llm.errors import ConfigError, DataError
from lit_llm.retrieval import BM25

TEXT = "El río Balsas nace en Tlaxcala; su cuenca — ¿cuál? — mide 117 406 km². 😀 Ōtlācat."


@pytest.fixture(scope="module")
def tokenizer(root: Path) -> Any:
    return AutoTokenizer.from_pretrained(root / "checkpoints/qwen3-tiny")


@pytest.fixture
def read(tmp_path: Path, tokenizer: Any) -> Callable[..., DocumentsData]:
    """Return what reads rows as a training file, with four vectors for a passage."""

    def build(rows: list[dict[str, Any]], split: str = "train", **settings: Any) -> DocumentsData:
        path = tmp_path / f"{split}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        files: dict[str, Any] = {"test": {"test": str(path)}} if split == "test" else {split: str(path)}
        data = DocumentsData(**{"passage_tokens": 16, "max_length": 2048} | files | settings)
        data.tokenizer = tokenizer
        data.vectors = 4
        data.setup("fit" if split == "train" else split)
        return data

    return build


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 1000])
@pytest.mark.parametrize("overlap", [0, 1, 5])
def test_pieces_hold_the_whole_document(tokenizer, size, overlap):
    if overlap >= size:
        return
    text = TEXT + " nāhuatlahtōlli 🙂🙂 ꞌ ¿cuāuhtli?"
    found = chunks(text, tokenizer, size, overlap)
    assert found[0].start == 0 and found[-1].end == len(text)
    for before, behind in itertools.pairwise(found):
        assert before.start < behind.start <= before.end < behind.end
        # What is in common is a few tokens, where letters are not of several.
        assert overlap == 0 or before.end - behind.start <= 8 * overlap
        assert overlap or behind.start == before.end
    for chunk in found:
        own = text[chunk.start : chunk.end]
        assert chunk.ids == tokenizer(own, add_special_tokens=False)["input_ids"]
        # One letter may be more tokens than a passage has.
        assert 1 <= len(chunk.ids) <= size or len(own) == 1
        assert [again.ids for again in chunks(own, tokenizer, size, overlap)] == [chunk.ids]
    assert chunks("", tokenizer, size, overlap) == []


ANSWERED = [
    ({"question": "q", "answer": "a", "docs": ["d"]}, [("q", "a", "a")]),
    ({"question": "q", "gold_answer": "a", "docs": "d"}, [("q", "a", "a")]),
    ({"question": "q", "answers": ["a", "b", "a"], "docs": ["d"]}, [("q", "a", ["a", "b"])]),
    ({"question": "q", "answers": {"text": ["a"], "answer_start": [0]}, "docs": ["d"]}, [("q", "a", "a")]),
    ({"question": ["q"], "answers": ["a"], "docs": ["d"], "data_type": "qa"}, [("q", "a", "a")]),
    ({"instruction": "do", "input": "x", "output": "a", "docs": ["d"], "data_type": "i"}, [("do\nx", "a", "a")]),
    ({"question": "q", "answer": 1810, "docs": ["d"]}, [("q", "1810", "1810")]),
    ({"question": "q", "answers": [], "gold_answer": "a", "docs": ["d"]}, [("q", "a", "a")]),
    ({"question": "q", "answer": "a", "docs": ["d"], "pos_index": 0.0}, [("q", "a", "a")]),
    ({"instruction": "do", "input": "", "output": "a", "docs": ["d"]}, [("do", "a", "a")]),
]


@pytest.mark.parametrize(("row", "expected"), ANSWERED)
def test_every_published_layout_is_read(row, expected, read):
    found = read([row]).splits["train"].examples
    assert [(example.text, example.answer, example.reference) for example in found] == expected


@pytest.mark.parametrize("pairs", ["together", "apart"])
def test_several_questions_are_one_answer_or_an_example_each(pairs, read):
    row = {"id": "r", "question": ["q1", "q2"], "answers": ["same", "same"], "docs": ["d"], "data_type": "qa"}
    found = read([row], pairs=pairs).splits["train"].examples
    if pairs == "apart":
        assert [(e.id, e.text, e.answer) for e in found] == [("r/0", "q1", "same"), ("r/1", "q2", "same")]
    else:
        assert [(e.id, e.text) for e in found] == [("r", PAIRS)]
        assert found[0].answer == "Question: q1\nAnswer: same\nQuestion: q2\nAnswer: same"


def test_a_paraphrase_is_asked_for_in_many_ways_and_always_the_same_way(read):
    rows = [{"data_type": "paraphrase", "question": None, "answers": [f"a{k}"], "docs": [f"d{k}"]} for k in range(40)]
    asked = [[e.text for e in read(rows).splits["train"].examples] for _ in range(2)]
    assert asked[0] == asked[1]
    assert set(asked[0]) == set(RETELL)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"question": "q", "answer": "a"}, "field 'docs': None is neither"),
        ({"question": "q", "answer": "a", "docs": []}, r"field 'docs': \[\] is neither"),
        ({"question": "q", "answer": "a", "docs": [""]}, "field 'docs'"),
        ({"question": "q", "answer": "a", "docs": [3]}, "field 'docs'"),
        ({"question": "", "answer": "a", "docs": ["d"]}, "field 'question': '' is neither"),
        ({"answer": "a", "docs": ["d"]}, "field 'question': None is neither"),
        ({"question": "q", "docs": ["d"]}, "there is no answer: give one in one of the columns answer, answers"),
        ({"question": "q", "answers": {"text": []}, "docs": ["d"]}, "there is no answer"),
        ({"question": "q", "answer": {"a": 3}, "docs": ["d"]}, "there is no answer"),
        ({"question": ["q", "r"], "answers": ["a"], "docs": ["d"]}, "2 questions have 1 answers"),
        ({"question": "q", "answer": "a", "docs": ["d"], "pos_index": [1]}, "field 'pos_index': 1 is not the number"),
        ({"question": "q", "answer": "a", "docs": ["d"], "pos_index": "x"}, "field 'pos_index': 'x' is not"),
        (
            {"question": "q", "answer": "a", "docs": ["d", "e"], "pos_index": [False, True]},
            "field 'pos_index': False is",
        ),
        ({"question": ["q", "r"], "answers": ["a", " "], "docs": ["d"]}, "field 'answers': answer 1 is empty"),
        ({"question": "q", "answer": "a", "docs": '["d", "e"]'}, "field 'docs': .* holds a list as text"),
        ({"question": "q", "answer": "a", "docs": ["d"], "pos_index": "[0]"}, "field 'pos_index': .* holds a list"),
        ({"question": "q", "answer": True, "docs": ["d"]}, "field 'answer': True is neither"),
        ({"question": "q<|im_end|>", "answer": "a", "docs": ["d"]}, "holds the control token"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(row, said, read):
    with pytest.raises(DataError, match=rf"train\.jsonl:1: .*{said}"):
        read([row])


def test_columns_may_have_other_names(read):
    rows = [{"frage": "q", "antwort": "a", "texte": ["d", "e"], "gut": [1]}]
    names = {"question": "frage", "answer": "antwort", "passages": "texte", "positives": "gut"}
    data = read(rows, **{f"{key}_field": name for key, name in names.items()})
    row = data.splits["train"].rows[0]
    assert isinstance(row, PassageRow) and [p.positive for p in row.passages] == [False, True]


def shown(data: DocumentsData, split: str = "train") -> list[str]:
    """Return the conversations of a split, with ``*`` for each vector."""
    found = []
    for row in data.splits[split].rows:
        slots = set(row.encoded.slots or [])
        star = data.format.tokenizer("*", add_special_tokens=False)["input_ids"][0]
        ids = [star if at in slots else token for at, token in enumerate(row.encoded.input_ids)]
        found.append(data.format.tokenizer.decode(ids))
    return found


def test_vectors_stand_in_the_place_of_passages_and_nothing_of_them_is_learned(read):
    rows = [{"question": "¿qué {passages}?", "answer": "a", "docs": [TEXT, "corto"], "pos_index": [1]}]
    data = read(rows, instruction="A {passages} B {question} C")
    row = data.splits["train"].rows[0]
    assert isinstance(row, PassageRow)
    count = len(row.passages)
    assert count > 2 and [p.document for p in row.passages] == [0] * (count - 1) + [1]
    assert f"A {'*' * 4 * count} B ¿qué {{passages}}? C<|im_end|>" in shown(data)[0]
    learned = [label for label in row.encoded.labels if label != IGNORE]
    assert data.format.tokenizer.decode(learned).startswith("a<|im_end|>")
    batch = data.collate([data.splits["train"][0, 0]], "train", generate=True)
    assert batch.passages is not None and batch.prompt is not None and batch.prompt.slots is not None
    assert int(batch.slots.sum()) == int(batch.prompt.slots.sum()) == 4 * count
    assert data.format.tokenizer.decode(batch.passages.input_ids[-1]).startswith("corto")
    assert batch.meta[0]["positives"] == [count - 1]


@pytest.mark.parametrize(("passages", "held"), [("text", True), ("none", False)])
def test_the_text_of_passages_or_nothing_may_stand_there_instead(passages, held, read):
    data = read([{"question": "¿q?", "answer": "a", "docs": ["uno dos", "tres"]}], passages=passages)
    text = shown(data)[0]
    assert ("uno dos\n\ntres" in text) == held
    assert "Question: ¿q?" in text and "*" not in text
    # A run file that was written for passages may be asked to show none.
    other = shown(
        read(
            [{"question": "¿q?", "answer": "a", "docs": ["uno"]}],
            passages=passages,
            instruction="{passages}\n{question}",
        )
    )
    assert ("uno" in other[0]) == held
    assert data.collate([data.splits["train"][0, 0]], "train", generate=True).passages is None


def test_of_a_long_document_the_pieces_with_the_answer_hold_it(read):
    rows = [{"question": "q", "answer": "Ōtlācat", "docs": [TEXT], "pos_index": [0]}]
    row = read(rows).splits["train"].rows[0]
    assert [p.positive for p in row.passages][-1] and not row.passages[0].positive
    other = read([rows[0] | {"answer": "anders"}]).splits["train"].rows[0]
    assert all(p.positive for p in other.passages)


def test_equal_passages_of_a_batch_are_held_once_and_ragged_ones_are_masked(read):
    rows = [{"question": "q", "answer": "a", "docs": docs} for docs in (["x", "y", "x"], ["y"])]
    data = read(rows, passages="vectors")
    batch = data.collate([data.splits["train"][0, k] for k in range(2)], "train", generate=False)
    assert batch.passages.rows.tolist() == [[0, 1, 0], [1, -1, -1]]
    assert len(batch.passages.input_ids) == len(batch.passages.keys) == 2


def test_other_passages_are_other_rows(read):
    row = {"id": "r", "question": "q", "answer": "a", "docs": ["x", "y"], "pos_index": [0]}
    content = read([row]).splits["train"].content
    assert read([row]).splits["train"].content == content
    for other in ({"docs": ["x", "z"]}, {"pos_index": [1]}, {"docs": ["y", "x"]}):
        assert read([row | other]).splits["train"].content != content
    assert read([row], reads=1).splits["train"].content != content


def test_a_prompt_beyond_the_model_is_a_row_that_cannot_be_answered(read, tokenizer, monkeypatch):
    monkeypatch.setattr(tokenizer, "model_max_length", 100)
    rows = [{"question": "q", "docs": [text]} for text in ("x", "x " * 80)]
    found = read(rows, "predict", passages="text").splits["predict"].examples
    assert [bool(example.error) for example in found] == [False, True]
    assert "exceeds the 100 of the model" in found[1].error


def test_more_passages_cannot_be_read_than_there_are(read):
    row = {"question": "q", "answer": "a", "docs": ["x", "y"]}
    with pytest.raises(DataError, match=r"train.jsonl:1: 2 passages, of which data.init_args.reads is to read 3"):
        read([row], reads=3)
    # Where nothing is learned, what there is is read.
    assert len(read([row], "test", reads=3).splits["test"].rows[0].encoded.slots) == 2 * 4
    assert len(read([row], reads=1).splits["train"].rows[0].encoded.slots) == 4
    with pytest.raises(DataError, match="nothing chooses between texts"):
        read([row], reads=1, passages="text")


@pytest.mark.parametrize("overflow", ["error", "drop"])
def test_a_row_that_is_too_long_is_refused_or_dropped_and_counted(overflow, read):
    rows = [{"question": "q", "answer": a, "docs": ["x"]} for a in ("a", "a " * 60)]
    if overflow == "error":
        with pytest.raises(DataError, match=r"train.jsonl:2: \d+ tokens exceed max_length 90"):
            read(rows, max_length=90)
        return
    split = read(rows, max_length=90, overflow=overflow).splits["train"]
    assert (len(split.rows), split.dropped) == (1, 1)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"instruction": "{question}"}, r"\{passages\} stands 0 times"),
        ({"instruction": "{passages}{question}{question}"}, r"\{question\} stands 2 times"),
        ({"overflow": "truncate_input"}, "never cut"),
        ({"reads": 0}, "reads"),
        ({"overlap": -1}, "overlap"),
        ({"passage_tokens": 0}, "passage_tokens"),
        ({"packing": True}, "packing"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        DocumentsData(**settings)


def test_pieces_must_differ(read):
    with pytest.raises(ConfigError, match="overlap is 16: it must be less than the 16 of a passage"):
        read([{"question": "q", "answer": "a", "docs": ["d"]}], overlap=16)


def test_a_question_alone_has_no_passages(read):
    data = read([{"question": "q", "answer": "a", "docs": ["d"]}])
    for asked in (data.question, data.ask):
        with pytest.raises(ConfigError, match="answered from passages"):
            asked("q")


@pytest.mark.parametrize(
    "name", ["pretrain_data", "small_pretrain_data", "small_instruction_data", "small_end_to_end_data"]
)
def test_published_rows_are_read_as_they_are(name, read, real_data):
    lines = (real_data / f"data/clara/{name}.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines][:200]
    found = read(rows, passage_tokens=256, max_length=8192).splits["train"].examples
    assert len(found) == len(rows)
    assert all(example.answer for example in found)


def test_spoiled_rows_have_the_passages_of_others(read):
    rows = [{"question": f"q{k}", "answer": "a", "docs": [f"d{k // 2}"], "pos_index": [0]} for k in range(5)]
    own = read(rows, "test").splits["test"].rows
    spoiled = read(rows, "test", corrupt="rolled").splits["test"].rows
    place = {row.passages[0].ids: at // 2 for at, row in enumerate(own)}
    assert [place[row.passages[0].ids] for row in spoiled] == [1, 1, 2, 2, 0]
    assert not any(passage.positive for row in spoiled for passage in row.passages)
    assert [row.encoded for row in spoiled] == [row.encoded for row in own]
    # What is learned from stays as it is.
    assert [row.passages for row in read(rows, corrupt="rolled").splits["train"].rows] == [r.passages for r in own]
    data = read(rows, "test", corrupt="zeroed")
    assert data.collate(data.splits["test"].rows, "test", generate=True).passages.blank
    data = read(rows, corrupt="zeroed")
    assert not data.collate(data.splits["train"].rows, "train", generate=False).passages.blank
    with pytest.raises(DataError, match=r"test.jsonl.*no other row has other passages.*zeroed"):
        read(rows[:2], "test", corrupt="rolled")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"corrupt": "zeroed", "passages": "text"}, "the prompt shows none"),
        ({"corrupt": "zeroed", "passages": "none"}, "the prompt shows none"),
        ({"corrupt": "rolled", "corpus": "CORPUS", "candidates": 2, "passages": "text"}, "leave out index and corpus"),
    ],
)
def test_what_cannot_be_spoiled_is_said(settings, said, tmp_path):
    if "corpus" in settings:
        pytest.importorskip("bm25s")
        (tmp_path / "corpus.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
        settings = settings | {"corpus": str(tmp_path / "corpus.jsonl"), "retriever": BM25()}
    with pytest.raises(ConfigError, match=said):
        DocumentsData(**settings)
