"""What the model answers on the validation split, for people to read in TensorBoard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lit_llm.batch import Prediction
from lit_llm.callbacks.boards import cell, table, writers
from lit_llm.callbacks.kept_rows import KeptRows
from lit_llm.strict_json import dumps, loads

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer


class SampleTable(KeptRows):
    """Shows a few validation rows with reference and prediction; what differs is bold and marked ✗.

    The rows are the same at every validation, so that they can be followed through training.

    Args:
        count: rows to show.
    """

    def __init__(self, count: int = 8) -> None:
        super().__init__(count)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the table."""
        if trainer.sanity_checking or not self.kept:
            return
        rows = [sample_row(prediction) for prediction in self.kept]
        text = table(["", "text", "reference", "prediction", "differs"], rows)
        for writer in writers(trainer):
            writer.add_text("samples", text, trainer.global_step)


def sample_row(prediction: Prediction) -> list[str]:
    """Return a row of the table: a mark, text, reference, prediction and what differs, as Markdown."""
    wrong, cause = differences(prediction)
    mark = "✗" if wrong or cause else "✓"
    answer = prediction.prediction or prediction.raw
    shown = [_marked(text, set(wrong)) if not cause else cell(text) for text in (prediction.reference, answer)]
    notes = [cell(cause)] if cause else [f"✗ {cell(path)}" for path in wrong]
    return [mark, cell(prediction.text), *shown, "<br>".join(notes) or "·"]


def differences(prediction: Prediction) -> tuple[list[str], str]:
    """Return the paths at which a prediction differs from its reference, and why it cannot be compared by field."""
    if prediction.status in ("invalid", "error"):
        return [], f"{prediction.status}: {prediction.error}"
    try:
        gold, found = loads(prediction.reference), loads(prediction.prediction)
    except ValueError:
        same = prediction.prediction.strip() == prediction.reference.strip()
        return [], "" if same else "differs"
    from lit_llm.metrics import differing_paths

    return differing_paths(gold, found), ""


def _marked(text: str, wrong: set[str]) -> str:
    """Return JSON as Markdown with the wrong values in bold; other text as it is."""
    try:
        value = loads(text)
    except ValueError:
        return cell(text)
    return _render(value, (), wrong)


def _render(value: Any, path: tuple[str | int, ...], wrong: set[str]) -> str:
    from lit_llm.catalogues import path_name

    if isinstance(value, dict) and value:
        parts = [f"{cell(dumps(k))}: {_render(v, (*path, k), wrong)}" for k, v in value.items()]
        shown = "{" + ", ".join(parts) + "}"
    elif isinstance(value, list) and value:
        shown = "&#91;" + ", ".join(_render(v, (*path, i), wrong) for i, v in enumerate(value)) + "&#93;"
    else:
        shown = cell(dumps(value))
    return f"**✗ {shown}**" if path_name(path) in wrong else shown
