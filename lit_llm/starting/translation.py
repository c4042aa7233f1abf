"""Parallel texts become the data of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lit_llm.data.records.faults import Broken, Fault
from lit_llm.data.records.layout import Layout
from lit_llm.data.records.reading import Column, Record
from lit_llm.errors import ConfigError, DataError
from lit_llm.starting.columns import by_name, language, present, text_columns
from lit_llm.starting.nesting import refuse_nested, unread
from lit_llm.starting.plan import Plan
from lit_llm.starting.tables import Table, read_lines
from lit_llm.wording import listed, many

FACTS = ("dialect", "origin", "document")
SHORT_PROMPT = "{target}:"
"""A base that knows no language reads no sentence of instructions."""


def plan_pairs(table: Table, languages: Sequence[str], facts: dict[str, str | None], identity: str | None) -> Plan:
    """Return how pairs in the columns of one table are learned from.

    Args:
        table: the file.
        languages: its two columns, or none to guess them.
        facts: columns of ``dialect``, ``origin`` and ``document``; guessed by name where None.
        identity: column of ids; by default guessed.

    Raises:
        ConfigError: if a column is not there or cannot be guessed.
    """
    named = {fact: present(f"--{fact}", name, table.columns) for fact, name in facts.items() if name}
    called = {plain: name for plain, _, name in (text.partition("=") for text in languages)}
    both = _languages(table, list(called), list(named.values()))
    for fact in FACTS:
        guess = by_name(fact, table.columns, [*both, *named.values()])
        if fact not in named and guess:
            named[fact] = guess
    identity = table.identity(identity, [*both, *named.values()])
    columns = {name: Column(name) for name in both} | ({"id": Column(identity, "id")} if identity else {})
    records = table.records(columns)
    keep = table.kept([*both, *named.values(), identity])
    settings = _settings(both, called) | {f"{fact}_field": name for fact, name in named.items()}
    if table.id_name(identity) != "id":
        settings["id_field"] = table.id_name(identity)
    others = [*named.values(), *keep]
    plan = _plan([table.path], settings | table.settings(keep), records, both, table.id_name(identity))
    for row, record in zip(plan.rows, records, strict=True):
        row.update({name: table.raw[record.line].get(name) for name in others})
    plan.faults = list(table.faults)
    plan.together = [named["document"]] if "document" in named else []
    plan.findings = [*table.findings, *_said(settings["languages"], named, keep)]
    return plan


def plan_parallel(
    paths: Sequence[Path], languages: Sequence[str], known: Layout, *, guess_encoding: bool = True
) -> Plan:
    """Return how two text files of equally many lines are learned from.

    Raises:
        ConfigError: if the files' languages are not named by them.
        DataError: if they differ in their number of lines.
    """
    called = {plain: name for plain, _, name in (text.partition("=") for text in languages)}
    names = list(called) or [_called(path) for path in paths]
    if names[0] == names[1]:
        raise ConfigError(f"--languages: both files are called {names[0]!r}: name their languages, such as es,nah")
    read = [read_lines(path, known, guess_encoding=guess_encoding) for path in paths]
    texts = [lines for lines, _ in read]
    if len(texts[0]) != len(texts[1]):
        raise DataError(_unlike(paths, texts))
    faults, records = _pairs(paths, names, texts)
    plan = _plan(paths, _settings(names, called), records, names, "id")
    plan.faults = faults
    sizes = ", ".join(f"{path.name} ({name})" for path, name in zip(paths, names, strict=True))
    plan.findings = [f"{sizes}: {len(texts[0]):,} lines each", *_said(plan.settings["languages"], {}, [])]
    plan.findings += [f"{path.name} is {code}" for path, (_, code) in zip(paths, read, strict=True) if code != "utf-8"]
    return plan


def _pairs(
    paths: Sequence[Path], names: Sequence[str], texts: Sequence[Sequence[str | Broken]]
) -> tuple[list[Fault], list[Record]]:
    stem = paths[0].stem
    faults, records = [], []
    for line, pair in enumerate(zip(*texts, strict=True), start=1):
        row: dict[str, Any] = {n: t.raw if isinstance(t, Broken) else t for n, t in zip(names, pair, strict=True)}
        wrong = [place for place, text in enumerate(pair) if isinstance(text, Broken) or not text.strip()]
        if not wrong:
            records.append(Record(paths[0], line, f"{stem}-{line}", row))
            continue
        text = pair[wrong[0]]
        reason = text.message if isinstance(text, Broken) else "is blank; a pair has two sides"
        faults.append(Fault(paths[wrong[0]], line, reason, names[wrong[0]], row, f"{stem}-{line}"))
    return faults, records


def _plan(
    paths: Sequence[Path], settings: dict[str, Any], records: Sequence[Record], both: Sequence[str], identity: str
) -> Plan:
    rows = [{identity: record.id} | {name: record.values[name] for name in both} for record in records]
    lines = [record.line for record in records]
    plan = Plan("translation", list(paths), "lit_llm.data.TranslationData", settings, rows, lines, compared=list(both))
    texts = sorted((row[both[0]] for row in rows), key=len)
    plan.example = texts[len(texts) // 2] if texts else None
    plan.each = 2
    return plan


def _settings(both: Sequence[str], called: dict[str, str]) -> dict[str, Any]:
    return {"languages": {name: called.get(name) or language(name) or name for name in both}}


def _languages(table: Table, named: Sequence[str], taken: Sequence[str]) -> list[str]:
    if named:
        return [present("--languages", name, table.columns) for name in named]
    codes = [column for column in table.columns if language(column) and column not in taken]
    if len(codes) == 2:
        return codes
    refuse_nested(table, texts=2, values=False)
    texts = text_columns(table.sample(), table.columns, taken)
    long = sorted(texts[:2], key=table.columns.index)
    if len(long) < 2:
        raise ConfigError(
            f"{table.path}: translation needs two columns of text (there are {listed(table.columns)}), a row for each "
            f"pair{unread(table)}"
        )
    return long


def _said(languages: dict[str, str], named: dict[str, str], keep: Sequence[str]) -> list[str]:
    shown = " and ".join(f"{column!r}, called {name!r} in the prompt" for column, name in languages.items())
    other = ",".join(f"{column}=NAME" for column in languages)
    said = [
        f"pairs of {shown}, learned in both directions (--languages A,B names other columns, {other} their languages)"
    ]
    said += [f"the {fact} of a pair is in {name!r} (--{fact})" for fact, name in named.items()]
    if keep:
        said.append(f"kept for predictions.csv: {', '.join(map(repr, keep))}")
    return said


def _called(path: Path) -> str:
    """Return the language in a file's name: ``corpus.es`` and ``es.txt`` are both of ``es``."""
    return path.stem if path.suffix.lower() in ("", ".txt", ".text") else path.suffix[1:]


def _unlike(paths: Sequence[Path], texts: Sequence[Sequence[str | Broken]]) -> str:
    counts = [len(lines) for lines in texts]
    short = counts.index(min(counts))
    blank = [[isinstance(text, str) and not text.strip() for text in lines] for lines in texts]
    place = next((k for k in range(min(counts)) if blank[0][k] != blank[1][k]), min(counts))
    listed = " and ".join(f"{path} has {many(count, 'line')}" for path, count in zip(paths, counts, strict=True))
    found = (
        f"from line {place + 1} on they do not belong together: one of them is blank there and the other is not"
        if place < min(counts)
        else f"{paths[short]} ends first"
    )
    return f"{paths[short]}:{place + 1}: {listed}; {found}: make them one line for each pair"
