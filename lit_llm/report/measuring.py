"""Measures runs and stored folders side by side: what they answer, their loss, their bytes and their speed."""

from __future__ import annotations

import csv
import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.callbacks import Callback

from lit_llm.batch import Prediction
from lit_llm.errors import ConfigError
from lit_llm.generation import Generator, generate_rows
from lit_llm.models.base import LitLM
from lit_llm.quantization.memory import loaded_bytes
from lit_llm.report.comparison import Compared
from lit_llm.report.files import short_names
from lit_llm.report.runs import Run, open_run, single_trainer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROUNDS, ANSWERS = 3, 5
"""Times that each system is opened to be timed, in turns, and answers that are timed each time."""

BATCH = 16
"""Rows that are answered together for the tokens per second."""


@dataclass
class Measured:
    """One run or stored folder.

    Attributes:
        rows: its answers to the rows of all tests.
        loss: in nats per target token, the mean over the tests.
        disk_bytes: of its weights in files, with those of the base it needs; None where the base has no files here.
        loaded_bytes: of its weights in memory as it answers, with scales and copies of them that are rounded.
        latency_s: seconds of one answer of a forced length: the median.
        tokens_per_s: of answers to 16 rows at a time: the median.
    """

    rows: list[Prediction]
    loss: float
    disk_bytes: int | None
    loaded_bytes: int
    latency_s: float = 0.0
    tokens_per_s: float = 0.0


Writer = Callable[[int, list[Prediction]], None]
"""Takes the number of a system, counted from 1, and answers of it as they come."""


def measure(paths: Sequence[str], text: str, tokens: int, write: Writer) -> dict[str, Measured]:
    """Measure systems on the tests of their run files.

    Args:
        paths: run folders, or folders that ``quantize`` or ``export`` wrote, which are asked as the first run is; the
            first is a run.
        text: what is asked for the time.
        tokens: length of the answers that are timed.
        write: called with every batch of answers, so that a crash loses none.

    Raises:
        ConfigError: if a folder is neither, or the first is no run.
    """
    for path in paths:
        if not any((Path(path) / name).exists() for name in ("config.yaml", "config.json")):
            raise ConfigError(f"compare: {path} is neither a run folder nor one that quantize or export wrote")
    systems = {}
    for number, path in enumerate(paths, start=1):
        run = _open(path, paths[0])
        # What cannot be asked is to be refused before it has answered for hours.
        run.data.ask(text)
        systems[path] = _answered(run, path, partial(write, number))
    # In turns, so that a machine that slows down does so for all of them.
    timed: dict[str, list[tuple[float, float]]] = {path: [] for path in paths}
    for _ in range(ROUNDS):
        for path in paths:
            timed[path].append(_timed(_open(path, paths[0]), text, tokens))
    for path, found in timed.items():
        systems[path].latency_s = statistics.median(latency for latency, _ in found)
        systems[path].tokens_per_s = statistics.median(rate for _, rate in found)
    return systems


def _open(path: str, first: str) -> Run:
    # Models and trainers refer to each other: without this, one that was measured stays in memory.
    gc.collect()
    torch.cuda.empty_cache()
    if (Path(path) / "config.yaml").exists():
        run = open_run(path, "best", single_trainer(path))
    else:
        run = open_run(first, "none", single_trainer(first), backbone=path)
        # Its adapter has learned nothing: merged, it changes nothing and takes no time.
        run.model.merge = True
        if type(run.model).save_extras is not LitLM.save_extras:
            raise ConfigError(f"compare: {path} has parts beside its language model, which only a run opens")
    run.model.merge_if_asked()
    # The test that follows would do it once more.
    run.model.merge = False
    return run


class _Rows(Callback):
    """Keeps the answers of a test, and hands them on as they come."""

    def __init__(self, write: Callable[[list[Prediction]], None]) -> None:
        self.found: list[Prediction] = []
        self.write = write

    def on_test_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, *_: Any) -> None:
        # Two files may use one id.
        rows = [replace(row, id=f"{row.meta['split']}/{row.id}") for row in outputs]
        self.found += rows
        self.write(rows)


def _answered(run: Run, path: str, write: Callable[[list[Prediction]], None]) -> Measured:
    model: Any = run.model
    if not hasattr(model, "generator"):
        raise ConfigError(f"compare: {path} is a {type(model).__name__}, which writes no answers")
    model.also = {}
    rows = _Rows(write)
    model.trainer.callbacks.append(rows)
    model.trainer.test(model, datamodule=run.data, verbose=False)
    losses = [float(value) for name, value in model.trainer.callback_metrics.items() if name.endswith("/loss")]
    loaded = loaded_bytes(model.language_model)
    return Measured(rows.found, statistics.mean(losses), _disk_bytes(Path(path), run), loaded)


def _disk_bytes(folder: Path, run: Run) -> int | None:
    whole = run.model.adapter.folder == "model"
    own = _bytes(folder / run.model.adapter.folder if run.folder == folder else folder)
    if run.folder != folder or whole:
        return own
    if run.model.loading.random_init:
        return None
    base = Path(run.model.backbone)
    if not base.is_dir():
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

        try:
            revision = run.model.loading.revision
            base = Path(snapshot_download(run.model.backbone, revision=revision, local_files_only=True))
        except (HFValidationError, LocalEntryNotFoundError):
            return None
    return own + _bytes(base)


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def _timed(run: Run, text: str, tokens: int) -> tuple[float, float]:
    """Return the median seconds of an answer, and tokens per second of a batch; each is made once before it counts."""
    model, prompt = run.model, run.data.ask(text)
    generator = Generator(max_new_tokens=tokens, stop="never")
    medians = []
    for rows, answers in ((1, ANSWERS), (BATCH, 1)):
        seconds = []
        for number in range(1 + answers):
            begin = time.perf_counter()
            with model.trainer.precision_plugin.forward_context():
                generate_rows(generator, model.network, model.tokenizer, [prompt] * rows)
            if number:
                seconds.append(time.perf_counter() - begin)
        medians.append(statistics.median(seconds))
    return medians[0], BATCH * tokens / medians[1]


def table(systems: dict[str, Measured], scores: dict[str, dict[str, Compared]]) -> list[dict[str, Any]]:
    """Return a row for each system: scores and their differences from the first, loss, bytes and speed."""
    rows = []
    for path, system in systems.items():
        row: dict[str, Any] = {"system": path, "rows": len(system.rows)}
        for name, score in scores.get(path, {}).items():
            row |= {name: score.value, f"{name}_half_interval": score.half_interval}
            row |= {f"{name}_{key}": getattr(score, key) for key in ("difference", "low", "high", "p_value")}
        row |= {key: value for key, value in vars(system).items() if key != "rows"}
        rows.append(row)
    return rows


def write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write the rows of ``table`` as CSV."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def figure(rows: Sequence[dict[str, Any]], score: str) -> Figure:
    """Draw a score with its 95 % interval against the bytes of weights on disk, in memory where there is no file."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(7.5, 4.2), dpi=120, layout="constrained")
    axes = drawn.add_subplot()
    names = short_names([row["system"] for row in rows])
    for row in rows:
        size = (row["disk_bytes"] or row["loaded_bytes"]) / 1e6
        bar = row[f"{score}_half_interval"]
        axes.errorbar(size, row[score], yerr=bar, fmt="o", capsize=3, label=names[row["system"]])
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.set_xlabel("weights on disk, MB")
    axes.set_ylabel(score)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    drawn.legend(loc="outside right upper", frameon=False, fontsize=8)
    return drawn
