from __future__ import annotations

from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lit_llm.callbacks import FieldBars
from lit_llm.callbacks.field_bars import bars
from lit_llm.metrics import ExtractionMetrics, FieldScore


def test_the_worst_fields_are_drawn_first():
    scores = {f"field {i}": FieldScore(tp=i, fp=1, fn=2) for i in range(6)}
    figure = bars(scores, 4)
    assert figure.get_size_inches()[0] * figure.dpi >= 1200, "it would be blurred on a screen"
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [f"field {i}" for i in range(4)]
    assert [bar.get_width() for bar in axes.patches] == [scores[f"field {i}"].f1 for i in range(4)]
    assert "2 better fields" in axes.get_title()
    assert "n=5" in axes.texts[3].get_text()


def test_a_figure_is_drawn_at_each_validation_before_the_counts_are_forgotten(tiny, tmp_path):
    class Measuring(tiny.Net):
        def on_validation_epoch_start(self):
            self.metric = ExtractionMetrics()

        def validation_step(self, batch, index):
            self.metric.update(['{"a":1}'], [{"a": 1, "b": 2}], [{}])
            return super().validation_step(batch, index)

        def per_field(self):
            return {"valid": self.metric.per_field(), "valid/empty": {}}

        def on_validation_epoch_end(self):
            self.metric.reset()

    logger = TensorBoardLogger(tmp_path, name="", version="")
    tiny.trainer(tmp_path, [FieldBars()], max_epochs=2, logger=logger).fit(Measuring(), tiny.Data(3))
    events = EventAccumulator(str(tmp_path)).Reload()
    assert events.Tags()["images"] == ["fields/valid"]
    assert [event.step for event in events.Images("fields/valid")] == [3, 6]


def test_a_model_without_fields_is_let_pass(tiny, tmp_path):
    tiny.trainer(tmp_path, [FieldBars()], max_epochs=1).fit(tiny.Net(), tiny.Data(3))
