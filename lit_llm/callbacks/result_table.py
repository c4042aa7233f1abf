"""One table of what ``validate`` or ``test`` found, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import Callback

from lit_llm.batch import STATUSES
from lit_llm.callbacks.progress_lines import end_bar
from lit_llm.callbacks.results import ResultsFile
from lit_llm.metrics.corpus import COUNTS
from lit_llm.results import Result
from lit_llm.terminal import show

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer
    from rich.console import Console


class ResultTable(Callback):
    """Prints one table after ``validate`` and ``test``, in place of Lightning's: metrics down, files across.

    The main metric comes first. Below stand how many answers have which status, and what the commonest answer and the
    nearest training text reach where they were measured; a line warns of a model that does not beat them. A second
    table names the fields that do worst. Numbers have three decimals; ``results/`` has all of them.

    Args:
        worst_fields: how many fields to name; 0 names none.
    """

    def __init__(self, worst_fields: int = 10) -> None:
        self.worst_fields = worst_fields

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Keep Lightning's own table away, which cuts names and shows each number once for every file."""
        trainer.test_loop.verbose = trainer.validate_loop.verbose = False

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep it away here too: the trainer sets this anew for every call."""
        self.setup(trainer, pl_module, "validate")

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep it away here too."""
        self.setup(trainer, pl_module, "test")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Print the table, once every other callback is done."""
        file = next((c for c in trainer.callbacks if isinstance(c, ResultsFile)), None)  # type: ignore[attr-defined]
        if stage not in ("validate", "test") or file is None or not file.result or not file.result.scores:
            return
        if trainer.is_global_zero:
            from rich.console import Console

            end_bar(trainer, pl_module, stage)
            print_result(Console(), file.result, self.worst_fields)


def print_result(console: Console, result: Result, worst_fields: int = 10) -> None:
    """Print a result.

    Args:
        console: where to.
        result: what was found; its main scores come first and are compared with the baselines.
        worst_fields: how many fields to name.
    """
    head, rows, sections = table_of(result)
    bold = {number: "bold" for number, row in enumerate(rows) if row[0] in result.mains}
    print()
    show(console, head, rows, title=_title(result), sections=sections, styles=bold)
    _show_fields(console, result, worst_fields)
    for warning in warnings_of(result):
        console.print(warning, style="bold red", soft_wrap=True, highlight=False, markup=False)


def table_of(result: Result) -> tuple[list[str], list[list[str]], set[int]]:
    """Return head and rows of the table, and before which rows a line is drawn."""
    tests = list(result.scores)
    rows = [[name, *(_number(name, result.scores[test].get(name)) for test in tests)] for name in result.metrics]
    sections = set()
    statuses = {status for counts in result.statuses.values() for status in counts}
    if statuses:
        sections.add(len(rows))
        for status in [*STATUSES, *sorted(statuses - set(STATUSES))]:
            counts = [result.statuses.get(test, {}).get(status, 0) for test in tests]
            rows.append([f"answers: {status}", *(f"{count:,}" for count in counts)])
    sections.add(len(rows))
    for main in result.mains:
        for baseline in result.baseline_names:
            values = [result.baselines.get(test, {}).get(baseline, {}).get(main) for test in tests]
            if any(value is not None for value in values):
                rows.append([f"{main}: {baseline}", *(_number(main, value) for value in values)])
    return ["", *tests], rows, sections & set(range(1, len(rows)))


def warnings_of(result: Result) -> list[str]:
    """Return a line for each test whose main score is not above that of a baseline."""
    found = []
    for test, main, own, values in result.unbeaten():
        better = " and ".join(f"the {name} ({_number(main, value)})" for name, value in values.items())
        found.append(f"warning: {test}: {main} {_number(main, own)} does not beat {better}")
    return found


def _title(result: Result) -> str:
    checkpoint = result.checkpoint
    rows = sum(part.get("rows", 0) for part in result.data.values())
    of = f"{checkpoint['name']} at step {checkpoint['step']:,}" if checkpoint else "the base as it is"
    return f"{result.verb} of {of}" + (f": {rows:,} rows" if rows else "")


def _show_fields(console: Console, result: Result, most: int) -> None:
    by_field: dict[str, dict[str, Any]] = {}
    for test, fields in result.fields.items():
        for row in fields:
            by_field.setdefault(row["field"], {})[test] = row
    expected = {name: found for name, found in by_field.items() if any(row["support"] for row in found.values())}
    flawed = sorted(expected.items(), key=lambda item: _badness(list(item[1].values())))
    flawed = [(name, found) for name, found in flawed if any(row["f1"] < 1 for row in found.values())]
    if not flawed or not most:
        return
    tests = list(result.fields)
    rows = [[name, *(_field(found.get(test)) for test in tests)] for name, found in flawed[:most]]
    title = f"F1 of the fields that do worst ({len(rows)} of {len(expected)}), and how many values are expected"
    if invented := len(by_field) - len(expected):
        title += f"\n{invented} more fields stand in answers alone"
    show(console, ["field", *tests], rows, title=title)


def _badness(rows: list[dict[str, Any]]) -> tuple[float, int]:
    """Return what sorts the fields, the worst first: by the worst of the files that expect it, then by its size."""
    return min(row["f1"] for row in rows if row["support"]), -sum(row["support"] for row in rows)


def _field(row: dict[str, Any] | None) -> str:
    return f"{row['f1']:.3f} ({row['support']:,})" if row else ""


def _number(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if name.rpartition("/")[2] in COUNTS else f"{value:,.3f}"
