from __future__ import annotations

import json

import pytest
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugin_util import markdown_to_safe_html

from lit_llm.batch import FILLER, Prediction
from lit_llm.callbacks import SampleTable
from lit_llm.callbacks.boards import cell, table
from lit_llm.callbacks.samples import differences, sample_row


def prediction(reference, answer, name="1", text="un texto", **more):
    return Prediction(name, text, json.dumps(answer), json.dumps(reference), raw=json.dumps(answer), **more)


def html(item):
    return markdown_to_safe_html(table(["", "text", "reference", "prediction", "differs"], [sample_row(item)]))


def test_only_what_differs_is_marked():
    gold = {"items": [{"p": "pan", "n": 2}, {"p": "té", "n": 1}], "total": 5}
    found = {"items": [{"p": "pan", "n": 2}, {"p": "té", "n": 3}], "total": 5, "more": True}
    mark, _, reference, answer, differs = sample_row(prediction(gold, found))
    assert mark == "✗"
    assert reference.count("✗") == 1
    assert '"n": **✗ 1**' in reference
    assert '"n": **✗ 3**' in answer
    assert '"more": **✗ true**' in answer
    assert differs.split("<br>") == ["✗ items&#91;1&#93;.n", "✗ more"]


def test_a_right_answer_has_no_mark():
    mark, *cells = sample_row(prediction({"a": 1}, {"a": 1}))
    assert mark == "✓"
    assert not any("✗" in text for text in cells)


@pytest.mark.parametrize(
    ("item", "cause"),
    [
        (Prediction("1", "t", "", "{}", "invalid", "not JSON", raw="{oh"), "invalid: not JSON"),
        (Prediction("1", "t", "un perro", "un gato"), "differs"),
        (Prediction("1", "t", " un gato", "un gato"), ""),
    ],
)
def test_answers_that_have_no_fields(item, cause):
    assert differences(item) == ([], cause)
    assert sample_row(item)[0] == ("✗" if cause else "✓")


def test_text_cannot_break_the_table_or_the_page():
    nasty = "a | b\n<script>alert(1)</script> **c** `d` [e](http://f)"
    page = html(prediction({"k|": nasty}, {"k|": "other"}, text=nasty))
    assert page.count("<td") == 5
    assert "<script" not in page
    assert "href" not in page
    assert "a | b" in page.replace("&#124;", "|")
    assert "<strong>✗" in page
    assert "\\" not in cell("plain")


def test_the_same_rows_are_shown_at_every_validation(tiny, tmp_path):
    class Answering(tiny.Net):
        def validation_step(self, batch, index):
            super().validation_step(batch, index)
            names = [f"row {10 * index + i}" for i in range(10)]
            return [
                *(prediction({"a": 1}, {"a": index}, name, text=name) for name in names),
                Prediction(FILLER, *"abc"),
            ]

    logger = TensorBoardLogger(tmp_path, name="", version="")
    callbacks = [SampleTable(4)]
    tiny.trainer(tmp_path, callbacks, max_epochs=2, logger=logger).fit(Answering(), tiny.Data(3))
    events = EventAccumulator(str(tmp_path)).Reload()
    shown = [event.tensor_proto.string_val[0].decode() for event in events.Tensors("samples/text_summary")]
    assert len(shown) == 2
    assert shown[0] == shown[1]
    assert shown[0].count("\n") == 5
    assert "| a |" not in shown[0]
