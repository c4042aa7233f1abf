"""What a person reads next: the commands that go on, how long they take, and what a base is good for."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lit_llm.paths import program
from lit_llm.starting.bases import TINY_LIMITS, Base
from lit_llm.starting.plan import Plan
from lit_llm.wording import many, typed


@dataclass(frozen=True)
class Time:
    """How long a run will take.

    Attributes:
        seconds: of `fit`; None where nothing was measured.
        steps: of the optimizer.
        epochs: times that each row is learned from.
        whole: steps of an epoch that is not run to its end; 0 where all are.
        test: seconds of `test`, and of `predict` likewise; None where nothing was measured.
    """

    seconds: float | None
    steps: int
    epochs: int
    whole: int = 0
    test: float | None = None

    def __str__(self) -> str:
        shown = f"{self.steps:,} steps ({self.epochs} epoch{'s' * (self.epochs > 1)})"
        if self.whole:
            shown = f"{self.steps:,} steps of the {self.whole:,} of an epoch (--minutes allows more)"
        if self.seconds is None:
            return f"A first run has {shown}; how long it takes was not measured"
        tested = "" if self.test is None else f"; `test` and `predict` take about {_about(self.test)} each"
        return f"A first run takes about {_about(self.seconds)} here: {shown}{tested}"


def _about(seconds: float) -> str:
    minutes = seconds / 60
    return f"{minutes / 60:.1f} hours" if minutes > 90 else many(max(1, round(minutes)), "minute")


def commands(target: Path, plan: Plan) -> list[str]:
    """Return the next commands, with paths as one types them in the current folder."""
    folder = target if not target.resolve().is_relative_to(Path.cwd()) else Path(os.path.relpath(target))
    config, run = typed(folder / "run.yaml"), typed(folder / "run")
    found = [f"{verb} --config {config}" for verb in ("fit", "test", "predict")] + [f"report {run}"]
    # What begins with a hyphen would be taken for an option.
    if example := (plan.example or "").lstrip("- "):
        found.append(f"ask --run {run}{_direction(plan)} {shlex.quote(example)}")
    return [f"{program()} {command}" for command in found]


def _direction(plan: Plan) -> str:
    """Return the option that says which way a text is to be translated; nothing for other tasks."""
    languages = plan.settings.get("languages")
    return f" --direction {shlex.quote('-'.join(languages))}" if languages else ""


def own_file(target: Path, plan: Plan, encoding: str) -> str:
    """Return the command that answers another file of the same layout as the one that was read."""
    config = commands(target, plan)[2]
    source = plan.sources[0].name
    encoded = f" --data.encoding {encoding}" if encoding != "utf-8" else ""
    return f"{config} --data.predict {shlex.quote(f'new_{source}')}{encoded} --predictions answers.csv"


def limits(plan: Plan, base: Base) -> list[str]:
    """Return what a base is not good for; nothing is known of one that the user named."""
    if not base.embedded:
        return []
    return [
        f"The base is the tiny one that comes with lit_llm ({base.reason}). It {TINY_LIMITS[plan.task]}.",
        "On a machine with a GPU, say `init … --backbone Qwen/Qwen3-0.6B` or a larger one (docs/weights.md).",
    ]


def readme(target: Path, plan: Plan, base: Base, time: Time, sizes: dict[str, int], encoding: str) -> str:
    """Return the page that lies in the folder."""
    shown = "\n".join(commands(target, plan))
    files = [
        ("run.yaml", "what is trained on what with which settings; change what you like"),
        *(
            [("schema.json", "what answers look like, inferred from the values; open what is too narrow")]
            * bool(plan.schema)
        ),
        *((f"{name}.jsonl", many(count, "row")) for name, count in sizes.items()),
        ("bad_rows.jsonl", f"{many(len(bad_lines(plan)), 'row')} left out: line, field, reason, the row"),
        ("run/", "after `fit`: weights, scores, answers"),
    ]
    parts = [
        f"# {target.name}",
        f"Made by `lit_llm init {plan.task}` from {', '.join(f'`{path.name}`' for path in plan.sources)}.",
        "## Next",
        f"Typed in `{Path.cwd()}`, with the environment of lit_llm active:",
        f"```bash\n{shown}\n```",
        f"{time}.",
        "`fit` trains, `test` scores the rows of `test.jsonl`, `predict` writes their answers to "
        "`run/predictions.csv`, `report` makes `run/report.html` of it all"
        + (", `ask` answers a text." if plan.example else "."),
        *limits(plan, base),
        *_more(target, plan, encoding),
        "## What was found",
        _bullets(plan.findings),
        "## Files",
        _bullets([f"`{name}`: {what}" for name, what in files]),
    ]
    return "\n\n".join(parts) + "\n"


def _more(target: Path, plan: Plan, encoding: str) -> list[str]:
    # Clips are named by a manifest, and of two parallel files a person has one.
    if plan.task == "sign" or len(plan.sources) > 1:
        return []
    command = own_file(target, plan, encoding)
    return [f"Another file like the first, its answers to `answers.csv`:\n\n```bash\n{command}\n```"]


def bad_lines(plan: Plan) -> set[tuple[str, int]]:
    """Return the rows that were left out; one row may have several faults."""
    return {(str(fault.path), fault.line) for fault in plan.faults}


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
