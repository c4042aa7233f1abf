"""Real Spanish utterances go through reading, encoding, batching and augmentation whole."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from lit_llm.batch import IGNORE
from lit_llm.data import Augmenter, ExtractionData
from lit_llm.data.tokens.dataset import Row
from lit_llm.metrics import ExtractionMetrics

SPLITS = {"train": 3373, "valid": 1704, "test": 2590}


@pytest.fixture(scope="module", params=[pytest.param("tiny", marks=pytest.mark.slow), "qwen3"])
def data(request: pytest.FixtureRequest, root: Path, real_data: Path) -> ExtractionData:
    """All three splits, encoded by the tiny tokenizer and by Qwen3's own."""
    files = {name: str(real_data / f"data/extraction/es_asistente_{name}.jsonl") for name in SPLITS}
    tokenizers = {"tiny": root / "checkpoints/qwen3-tiny", "qwen3": real_data / "tokenizers/qwen3"}
    module = ExtractionData(train=files["train"], valid=files["valid"], test={"test": files["test"]}, batch_size=16)
    module.tokenizer = AutoTokenizer.from_pretrained(tokenizers[request.param])
    module.setup("fit")
    module.setup("test")
    return module


def rows(data: ExtractionData) -> list[Row]:
    return [row for split in data.splits.values() for row in split.rows]


def test_every_row_is_kept_whole(data: ExtractionData) -> None:
    assert {name: len(split.rows) for name, split in data.splits.items()} == SPLITS
    lost = {name: count for name, count in data.counts.items() if name.split()[-1] in ("dropped", "truncated")}
    assert lost == dict.fromkeys(lost, 0)
    assert len(lost) == 2 * len(SPLITS)
    assert data.counts["zero-label rows"] == 0


def test_text_and_answer_come_back_from_the_tokens(data: ExtractionData) -> None:
    tokenizer = data.format.tokenizer
    for row in rows(data):
        assert row.example
        learned = [label for label in row.encoded.labels if label != IGNORE]
        assert tokenizer.decode(learned) == f"{row.example.answer}<|im_end|>"
        assert f"user\n{row.example.text}<|im_end|>" in tokenizer.decode(row.encoded.prompt_ids)
        assert json.loads(row.example.answer or "") == row.example.reference


def test_the_longest_answer_can_be_generated(data: ExtractionData) -> None:
    longest = max(len(row.encoded.input_ids) - row.encoded.prompt_length for row in rows(data))
    assert 50 < longest < 256, "configs/generator/json.yaml allows 256 tokens"


def test_an_epoch_serves_every_row_once(data: ExtractionData) -> None:
    batches = [ids for batch in data.train_dataloader() for ids in batch.ids]
    assert Counter(batches) == Counter(row.example.id for row in data.splits["train"].rows if row.example)


def test_no_text_of_training_is_measured(data: ExtractionData) -> None:
    texts = {name: {example.text for example in split.examples} for name, split in data.splits.items()}
    assert texts["train"].isdisjoint(texts["valid"] | texts["test"])


def test_what_the_references_say_of_themselves(data: ExtractionData) -> None:
    metric = ExtractionMetrics()
    examples = data.splits["test"].examples
    metric.update([e.answer or "" for e in examples], [e.reference for e in examples], [{} for _ in examples])
    assert {metric.compute()[name] for name in ("field_f1", "field_f1_verbatim", "exact_match", "strict_parse")} == {1}


def test_augmented_texts_still_state_every_slot(data: ExtractionData) -> None:
    augmenter = Augmenter(["case", "white_space", "punctuation"], probability=0.7, seed=0)
    changed = stated = 0
    for index, example in enumerate(data.splits["train"].examples):
        text, _ = augmenter.augment(example.text, example.reference, epoch=0, index=index, variant=1)
        changed += text != example.text
        slots = [value for values in example.reference["slots"].values() for value in values]
        whole = [value for value in slots if re.search(rf"(?<!\w){re.escape(value)}(?!\w)", example.text)]
        assert [value for value in whole if value not in text] == [], text
        stated += len(whole)
    assert changed > 2000
    assert stated > 5300, "nearly all slots are whole words of their text"
