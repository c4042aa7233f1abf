"""The way from a file to a folder: look, divide, measure, write."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median_low
from typing import Any

from lit_llm.data.records.faults import Fault, write_faults
from lit_llm.data.records.layout import Layout
from lit_llm.errors import ConfigError, DataError, UserError
from lit_llm.models.backbone import Loading, open_tokenizer
from lit_llm.report.files import write_report
from lit_llm.starting import guide
from lit_llm.starting.bases import Base, choose
from lit_llm.starting.budgets import FEW, Budget, budget_for, seconds, seconds_of_test, within
from lit_llm.starting.dividing import FEWEST, divide
from lit_llm.starting.extraction import plan_extraction
from lit_llm.starting.folder import check_target, written_whole
from lit_llm.starting.lengths import Lengths, measure
from lit_llm.starting.measuring import Pace, measure_pace
from lit_llm.starting.plan import Plan
from lit_llm.starting.reasons import as_options, field_of, lines_of, told
from lit_llm.starting.run_file import run_file
from lit_llm.starting.sign import plan_sign, table_of
from lit_llm.starting.tables import read_table
from lit_llm.starting.translation import plan_pairs, plan_parallel
from lit_llm.strict_json import dumps
from lit_llm.wording import many, wrapped


@dataclass(frozen=True)
class Options:
    """What was asked for.

    Attributes:
        task: ``extraction``, ``translation`` or ``sign``.
        files: what to read.
        output: folder to write; by default named after the file, in the current one.
        overwrite: whether a folder in the way is moved aside.
        columns: names of columns by role, None where they are to be guessed.
        facts: columns of a pair's ``dialect``, ``origin`` and ``document``.
        languages: two names, or none.
        layout: what is known of how the files are written: ``delimiter``, ``encoding``, ``quoting``, ``header``.
        backbone: the base, None to choose one.
        seed: of the split and the run.
        measure: whether a few steps are timed.
        minutes: about how long training may take on a CPU.
    """

    task: str
    files: Sequence[Path]
    output: Path | None = None
    overwrite: bool = False
    columns: dict[str, str | None] = field(default_factory=dict)
    facts: dict[str, str | None] = field(default_factory=dict)
    languages: Sequence[str] = ()
    layout: dict[str, Any] = field(default_factory=dict)
    backbone: str | None = None
    seed: int = 0
    measure: bool = True
    minutes: float = 10.0


def start(options: Options) -> Path:
    """Write the folder of a first run and say what was found.

    Returns:
        The folder.

    Raises:
        UserError: if the files cannot be used; nothing is written then.
    """
    target = options.output or Path(_stem(options))
    check_target(target, options.files, overwrite=options.overwrite)
    base = choose(options.backbone)
    plan, encoding = _looked_at(options)
    lengths = _usable(plan, base, options)
    dealt = divide(plan, options.seed)
    sizes = {name: len(places) for name, places in dealt.items()}
    examples = {name: plan.each * size for name, size in sizes.items()}
    budget = budget_for(plan.task, base, lengths, examples["train"])
    with written_whole(target) as folder:
        _write_rows(folder, plan, dealt)
        pace = _first_steps(folder, run_file(plan, base, budget)) if options.measure else None
        budget = within(budget, pace, examples, lengths, math.inf if base.gpu and not base.tiny else options.minutes)
        time = _time(budget, pace, examples, lengths)
        (folder / "run.yaml").write_text(run_file(plan, base, budget, options.seed), encoding="utf-8")
        text = guide.readme(target, plan, base, time, sizes, encoding)
        (folder / "README.md").write_text(text, encoding="utf-8")
    _say(target, plan, base, time, sizes)
    return target


def _time(budget: Budget, pace: Pace | None, sizes: dict[str, int], lengths: Lengths) -> guide.Time:
    epoch = math.ceil(sizes["train"] / budget.batch_size) if budget.most_steps else 0
    measured = seconds(budget, pace, sizes, lengths) if pace else None
    test = seconds_of_test(budget, pace, sizes, lengths) if pace else None
    return guide.Time(measured, budget.steps(sizes["train"]), budget.epochs, epoch, test)


def _stem(options: Options) -> str:
    """Return the name of the folder: that of the file, of both files, or of the table of clips."""
    if options.task == "translation":
        return "-".join(dict.fromkeys(path.stem for path in options.files))
    return options.files[-1].stem or "run"


def _looked_at(options: Options) -> tuple[Plan, str]:
    """Return the plan; what an error names as a setting of a run file is an option here."""
    try:
        plan, encoding = _plan(options)
    except UserError as error:
        raise type(error)(as_options(str(error))) from error
    plan.faults = told(plan.faults)
    return plan, encoding


def _plan(options: Options) -> tuple[Plan, str]:
    """Return the plan, and the encoding of the files that were read."""
    columns, files, known = options.columns, list(options.files), _layout(options)
    guess = "encoding" not in options.layout
    if options.task == "sign":
        if len(files) > 2:
            raise ConfigError(f"init sign: takes a folder of clips and a table of sentences, got {len(files)} names")
        table = read_table(files[1] if len(files) == 2 else table_of(files[0]), known, guess_encoding=guess)
        return plan_sign(files[0], table, columns.get("text"), columns.get("clip")), table.layout.encoding
    if options.task == "translation" and len(files) == 2:
        return plan_parallel(files, options.languages, known, guess_encoding=guess), "utf-8"
    if len(files) > 1:
        raise ConfigError(f"init {options.task}: takes one file, got {len(files)}; join them first")
    table = read_table(files[0], known, guess_encoding=guess)
    identity = columns.get("id")
    if options.task == "translation":
        return plan_pairs(table, options.languages, options.facts, identity), table.layout.encoding
    return plan_extraction(table, columns.get("text"), columns.get("json"), identity), table.layout.encoding


def _layout(options: Options) -> Layout:
    try:
        return Layout(**options.layout)
    except ConfigError as error:
        raise ConfigError(str(error).replace("data.init_args.", "--")) from error


def _usable(plan: Plan, base: Base, options: Options) -> Lengths:
    """Take out the rows that the base cannot read, and return the lengths of the others."""
    if not plan.rows:
        raise _nothing_left(plan)
    data = plan.data(bad_rows="skip")
    data.tokenizer = open_tokenizer(base.backbone, Loading())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "all.jsonl"
        _write(file, plan.rows)
        examples = data.read(file)
    lengths, refused = measure(data, examples, context_of(base.backbone))
    wrong = {fault.line: (fault.message, fault.field) for faults in data.skipped.values() for fault in faults}
    wrong |= {int(examples[place].place.rpartition(":")[2]): (reason, "") for place, reason in refused.items()}
    reasons = {}
    for line, (reason, column) in sorted(wrong.items()):
        row = plan.rows[line - 1]
        name = str(row[plan.settings.get("id_field", "id")])
        column = column or field_of(plan, row, reason)
        reasons[line - 1] = Fault(plan.sources[-1], plan.lines[line - 1], reason, column, row, name)
    plan.drop(reasons)
    if lengths.whole:
        half = median_low(lengths.whole)
        plan.findings.append(
            f"rows have up to {max(lengths.whole):,} tokens, half of them {half:,} or less; answers have up to "
            f"{max(lengths.answers):,}"
        )
    if len(plan.rows) < FEWEST:
        raise _nothing_left(plan)
    return lengths


def context_of(backbone: str) -> int:
    """Return how many tokens a base reads."""
    from transformers import AutoConfig

    try:
        return int(getattr(AutoConfig.from_pretrained(backbone), "max_position_embeddings", 1 << 20))
    except (OSError, ValueError) as error:
        raise ConfigError(f"--backbone: {backbone} cannot be opened: {str(error).splitlines()[0][:200]}") from error


def _nothing_left(plan: Plan) -> DataError:
    total = len(plan.rows) + len(guide.bad_lines(plan))
    needed = f"at least {FEWEST} are needed for training, validation and test"
    said = f"{plan.sources[0]}: {len(plan.rows)} of {many(total, 'row')} can be used, and {needed}"
    if not plan.faults:
        return DataError(said)
    listed = write_faults(plan.faults)
    return DataError("\n".join([f"{said}:", *lines_of(plan.faults), f"all of them, with their rows: {listed}"]))


def _write_rows(folder: Path, plan: Plan, dealt: dict[str, list[int]]) -> None:
    for name, places in dealt.items():
        _write(folder / f"{name}.jsonl", [plan.rows[place] for place in places])
    plan.faults.sort(key=lambda fault: (str(fault.path), fault.line))
    write_faults(plan.faults, folder / "bad_rows.jsonl")
    if plan.schema is not None:
        write_report(folder / "schema.json", plan.schema)


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    # Numbers keep the digits that they were written with.
    path.write_text("".join(f"{dumps(row)}\n" for row in rows), encoding="utf-8", newline="\n")


def _first_steps(folder: Path, text: str) -> Pace:
    """Run a few steps of the draft; what would end a run ends `init` here, before anything is in place."""
    (folder / "run.yaml").write_text(text, encoding="utf-8")
    print("timing a few steps of the run …", flush=True)
    return measure_pace(folder / "run.yaml")


def _say(target: Path, plan: Plan, base: Base, time: guide.Time, sizes: dict[str, int]) -> None:
    lines = list(plan.findings)
    if plan.faults:
        left_out = many(len(guide.bad_lines(plan)), "row is", "rows are")
        lines.append(f"{left_out} left out and listed in {target / 'bad_rows.jsonl'}:")
    print("\n".join(wrapped(line, indent="  ", first="") for line in lines))
    for line in lines_of(plan.faults):
        print(line)
    lines = [f"{target}: " + ", ".join(f"{name} {count:,}" for name, count in sizes.items()) + " rows"]
    if sum(sizes.values()) < FEW:
        lines.append(f"with {sum(sizes.values())} rows, scores say little: a row more or less moves them by much")
    lines += [*guide.limits(plan, base), f"{time}."]
    print("\n".join(wrapped(line, indent="  ", first="") for line in lines))
    print("\nNext:")
    for command in guide.commands(target, plan):
        print(f"  {command}")
