"""Reading, encoding, counting and answering rows of JSON extraction."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from lit_llm.batch import FILLER, IGNORE
from lit_llm.data import Augmenter, ExtractionData
from lit_llm.data.base import Row
from lit_llm.errors import ConfigError, DataError

SCHEMA = {
    "type": "object",
    "properties": {"b": {"type": "string"}, "a": {"type": "array", "items": {"type": "integer"}}},
    "required": ["b"],
    "additionalProperties": False,
}


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    return [{"text": f"texto {i} " + "pan " * i, "json": {"a": [i], "b": f"x{i}"}} for i in range(7)]


def data(root: Path, **settings: Any) -> ExtractionData:
    module = ExtractionData(**settings)
    module.tokenizer = AutoTokenizer.from_pretrained(root / "checkpoints" / "qwen3-tiny")
    return module


def test_keys_follow_the_schema(tmp_path: Path, root: Path, rows: list[dict[str, Any]]) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps(SCHEMA))
    module = data(root, train=write(tmp_path / "t.jsonl", rows), schema=str(schema))
    module.setup("fit")
    assert [e.answer for e in module.splits["train"].examples][:2] == ['{"b":"x0","a":[0]}', '{"b":"x1","a":[1]}']


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [1]}, r"t\.jsonl:2: field 'json' at \$: 'b' is a required property"),
        ({"b": "x", "a": ["1"]}, r"t\.jsonl:2: field 'json' at \$\.a\[0\]: '1' is not of type 'integer'"),
        ({"b": "x", "c": 1}, r"t\.jsonl:2: field 'json' at \$: Additional properties"),
    ],
)
def test_values_are_held_to_the_schema(
    tmp_path: Path, root: Path, rows: list[dict[str, Any]], value: Any, message: str
) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps(SCHEMA))
    rows[1]["json"] = value
    module = data(root, train=write(tmp_path / "t.jsonl", rows), schema=str(schema))
    with pytest.raises(DataError, match=message):
        module.setup("fit")


@pytest.mark.parametrize("text", ["{}", "[1]", '{"b": 1}'])
def test_answers_outside_the_schema_are_invalid(tmp_path: Path, root: Path, text: str) -> None:
    module = data(root)
    final, status, error = module.postprocess(text, {"schema": SCHEMA})
    assert (final, status) == ("", "invalid")
    assert error


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ('{"b": "sí",  "a": [1]}', ('{"b":"sí","a":[1]}', "ok", "")),
        ('{"b": "x"', ("", "invalid", None)),
        ("", ("", "invalid", None)),
        ('{"b": NaN}', ("", "invalid", None)),
        ('{"b": "x", "b": "y"}', ("", "invalid", None)),
    ],
)
def test_postprocess(raw: str, expected: tuple[str, str, str | None], root: Path) -> None:
    final, status, error = data(root).postprocess(raw, {})
    assert (final, status) == expected[:2]
    assert bool(error) == (status == "invalid")


@pytest.mark.parametrize("overflow", ["drop", "truncate_input"])
def test_what_is_cut_or_dropped_is_counted(
    tmp_path: Path, root: Path, rows: list[dict[str, Any]], overflow: Any
) -> None:
    rows[3]["text"] = "largo " * 60
    path = write(tmp_path / "t.jsonl", rows)
    module = data(root, train=path, valid=path, overflow=overflow, max_length=80)
    module.setup("fit")
    counts = module.audit().counts
    assert counts["train rows"] == (6 if overflow == "drop" else 7)
    assert counts["train dropped"] == (overflow == "drop")
    assert counts["train truncated"] == (overflow == "truncate_input")
    assert counts["valid rows"] == 7, "validation rows are never dropped"
    assert counts["valid texts also in train"] == counts["train rows"]
    if overflow == "truncate_input":
        (batch,) = module.val_dataloader()
        assert [facts.get("truncated", False) for facts in batch.meta] == [row_id == "t-4" for row_id in batch.ids]


def test_overflow_error_names_the_row(tmp_path: Path, root: Path, rows: list[dict[str, Any]]) -> None:
    rows[3]["text"] = "largo " * 60
    module = data(root, train=write(tmp_path / "t.jsonl", rows), max_length=80)
    with pytest.raises(DataError, match=r"t\.jsonl:4: \d+ tokens exceed max_length 80"):
        module.setup("fit")


def test_batches_mask_by_length_and_mark_fillers(tmp_path: Path, root: Path, rows: list[dict[str, Any]]) -> None:
    module = data(root, train=write(tmp_path / "t.jsonl", rows))
    module.setup("fit")
    split = module.splits["train"]
    filler = split[(0, -1)]
    assert filler == Row(None, split.rows[0].encoded)
    batch = module.collate([split[(0, 5)], filler, split[(0, 0)]], "train", generate=True)
    assert batch.ids == ["t-6", FILLER, "t-1"]
    assert (batch.labels[1] == IGNORE).all()
    lengths = batch.attention_mask.sum(1).tolist()
    assert lengths == [len(split.rows[i].encoded.input_ids) for i in (5, 0, 0)]
    assert (batch.labels[batch.attention_mask == 0] == IGNORE).all()
    # The end token is learned although it may equal a padding token in other tokenizers.
    assert batch.labels[0][lengths[0] - 1] == batch.input_ids[0][lengths[0] - 1]
    prompt = batch.prompt
    assert (prompt.attention_mask[:, -1] == 1).all(), "prompts end together: they are padded on the left"


def test_augmented_rows_depend_on_epoch_and_index_alone(tmp_path: Path, root: Path) -> None:
    rows = [{"text": f"Quiero {i} tortas de jamón, por favor.", "json": {"cantidad": i}} for i in range(2, 20)]
    path = write(tmp_path / "t.jsonl", rows)
    settings = {"train": path, "augmentation_factor": 3, "augmenter": Augmenter(probability=1.0)}
    modules = [data(root, **settings) for _ in range(2)]
    for module in modules:
        module.setup("fit")
    one, two = (module.splits["train"] for module in modules)
    assert len(one) == 54
    forward = {key: one[key] for key in [(epoch, row) for epoch in (0, 1) for row in range(54)]}
    backward = {key: two[key] for key in reversed(forward)}
    assert forward == backward
    texts = [[forward[(epoch, row)].example.text for row in range(18, 54)] for epoch in (0, 1)]  # type: ignore[union-attr]
    assert texts[0] != texts[1]
    assert [forward[(1, row)] for row in range(18)] == one.rows, "the first copy of each row is the row itself"


@pytest.mark.parametrize(("pattern", "follows"), [(".*", True), ("^[a-z ]*$", False)])
def test_the_answer_follows_the_case_of_the_text_where_the_schema_lets_it(
    tmp_path: Path, root: Path, pattern: str, follows: bool
) -> None:
    path = write(tmp_path / "t.jsonl", [{"text": "quiero pan de ajo", "json": {"prod": "pan de ajo"}}] * 20)
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps({"properties": {"prod": {"type": "string", "pattern": pattern}}}))
    augmenter = Augmenter(["case"], probability=1.0, case_values=True)
    module = data(root, train=path, schema=str(schema), augmentation_factor=2, augmenter=augmenter)
    module.setup("fit")
    split = module.splits["train"]
    answers = {}
    for row in range(20, 40):
        example = split[(0, row)].example
        assert example is not None
        answers[example.text] = example.answer
    assert answers["QUIERO pan de ajo"] == '{"prod":"pan de ajo"}'
    assert answers["QUIERO PAN DE AJO"] == ('{"prod":"PAN DE AJO"}' if follows else '{"prod":"pan de ajo"}')


def test_validation_is_never_augmented(tmp_path: Path, root: Path, rows: list[dict[str, Any]]) -> None:
    path = write(tmp_path / "t.jsonl", rows)
    module = data(root, train=path, valid=path, augmentation_factor=2, augmenter=Augmenter())
    module.setup("fit")
    assert len(module.splits["train"]) == 14
    assert len(module.splits["valid"]) == 7


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, r"data\.init_args\.batch_size is 0: use 1 or more"),
        ({"augmentation_factor": 2}, r"augmenter is not set"),
        ({"schema": "missing.json"}, r"data\.init_args\.schema: 'missing\.json'"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ExtractionData(**settings)


@pytest.mark.parametrize("stage", ["fit", "validate", "test", "predict"])
def test_missing_files_name_their_key(stage: str, root: Path) -> None:
    key = {"fit": "train", "validate": "valid"}.get(stage, stage)
    with pytest.raises(ConfigError, match=rf"data\.init_args\.{key} is not set"):
        data(root).setup(stage)
    if stage == "test":
        with pytest.raises(DataError, match="no such file"):
            data(root, test={"a": "nowhere.jsonl"}).setup(stage)


def test_predict_rows_need_no_answer(tmp_path: Path, root: Path) -> None:
    module = data(root, predict=write(tmp_path / "p.jsonl", [{"id": "a", "text": "hola"}, {"id": "b", "text": "tú"}]))
    module.setup("predict")
    assert module.row_order() == ["a", "b"]
    module.finished_ids = {"a", "b"}
    assert [len(loader) for loader in module.predict_dataloader()] == [0]
    module.finished_ids = {"a"}
    batch = next(iter(module.predict_dataloader()[0]))
    assert sorted(batch.ids) == ["a", "b"], "a batch that is partly finished is made again as a whole"


@pytest.mark.parametrize("multiple", [1, 8, 64])
def test_widths_are_multiples(tmp_path: Path, root: Path, rows: list[dict[str, Any]], multiple: int) -> None:
    module = data(root, train=write(tmp_path / "t.jsonl", rows), pad_to_multiple_of=multiple)
    module.setup("fit")
    batch = module.collate(module.splits["train"].rows, "train", generate=False)
    longest = int(batch.attention_mask.sum(1).max())
    assert batch.labels.shape == batch.input_ids.shape == batch.attention_mask.shape
    assert batch.input_ids.shape[1] % multiple == 0
    assert longest <= batch.input_ids.shape[1] < longest + multiple


def test_a_budget_of_positions_holds_for_variants_too(root: Path) -> None:
    settings: dict[str, Any] = {"batch_size": 64, "augmentation_factor": 3, "augmenter": Augmenter(probability=1.0)}
    module = data(root, train=str(root / "configs/data/orders/valid.jsonl"), max_batch_tokens=1024, **settings)
    module.setup("fit")
    known = {example.text for example in module.splits["train"].examples}
    sizes, varied = [], 0
    for batch in module.train_dataloader():
        sizes.append(batch.input_ids.numel())
        varied += sum(text not in known for text in batch.texts)
    assert max(sizes) <= 1024
    assert sum(sizes) / len(sizes) > 700
    assert varied > 100
