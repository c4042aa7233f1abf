"""A table of texts and JSON values becomes the data of a run."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from importlib.util import find_spec
from textwrap import shorten
from typing import Any

from lit_llm.batch import as_text
from lit_llm.data.hygiene.duplicates import fold
from lit_llm.data.records.faults import Fault
from lit_llm.data.records.reading import Column, Record
from lit_llm.errors import ConfigError, DataError
from lit_llm.generation import JsonSchemaConstraint
from lit_llm.schemas import in_schema_form
from lit_llm.starting.columns import json_columns, present, schema_column, text_columns
from lit_llm.starting.nesting import refuse_nested, unread, without_values
from lit_llm.starting.oddities import oddities
from lit_llm.starting.plan import Plan
from lit_llm.starting.schemas import Bounds, Schema, infer, looser
from lit_llm.starting.tables import Table
from lit_llm.wording import listed, many

SHOWN_CHOICES = 6
LONGEST_EXAMPLE = 250
LOOSEST = Bounds(numbers=False, texts=False, choices=False)


def plan_extraction(table: Table, text: str | None, json_field: str | None, identity: str | None) -> Plan:
    """Return how texts and values of a table are learned from.

    Args:
        table: the file.
        text: column of the text; by default guessed.
        json_field: column of the value; by default guessed.
        identity: column of ids; by default guessed.

    Raises:
        ConfigError: if a column is not there or cannot be guessed.
    """
    if not (text or json_field):
        refuse_nested(table, texts=1, values=True)
    target = _target(table, text, json_field)
    own_schema = schema_column(table.sample(), [c for c in table.columns if c not in (target, text)])
    taken = [name for name in (target, own_schema, identity) if name]
    source = _source(table, text, taken)
    identity = table.identity(identity, [source, *taken])
    columns = {"text": Column(source), "json": Column(target, "json")}
    records = table.records(columns | ({"id": Column(identity, "id")} if identity else {}))
    keep = table.kept([source, target, own_schema, identity])
    settings: dict[str, Any] = {"text_field": source, "json_field": target}
    if own_schema:
        settings["schema_field"] = own_schema
    if table.id_name(identity) != "id":
        settings["id_field"] = table.id_name(identity)
    plan = Plan(
        "extraction",
        [table.path],
        "lit_llm.data.ExtractionData",
        settings | table.settings(keep),
        [_row(table, record, [own_schema, *keep], source, target, identity) for record in records],
        [record.line for record in records],
        compared=[source],
        faults=list(table.faults),
        findings=[*table.findings, *_said(table, source, target, identity, own_schema, keep)],
    )
    _take_out_odd_rows(plan, table, target, records)
    if not own_schema and plan.rows:
        _add_schema(plan, table, target)
    plan.findings += _repeated(plan, source, target)
    plan.example = _short(plan, source)
    return plan


def _target(table: Table, text: str | None, named: str | None) -> str:
    if named:
        column = present("--json", named, table.columns)
        if not json_columns(table.sample(), [column], least=0.0):
            raise ConfigError(f"--json: {without_values(table, text, column)}")
        return column
    found = json_columns(table.sample(), table.columns)
    schema = schema_column(table.sample(), table.columns)
    found = [column for column in found if column != schema] or found
    if not found:
        raise ConfigError(f"{table.path}: {without_values(table, text, None)}")
    return found[0]


def _source(table: Table, named: str | None, taken: Sequence[str]) -> str:
    if named:
        return present("--text", named, table.columns)
    found = text_columns(table.sample(), table.columns, taken)
    if not found:
        raise ConfigError(
            f"{table.path}: no column holds text beside the JSON (there are {listed(table.columns)}): each row needs "
            f"one with what is asked{unread(table)}"
        )
    return found[0]


def _row(
    table: Table, record: Record, others: Sequence[str | None], source: str, target: str, identity: str | None
) -> dict[str, Any]:
    raw = table.raw[record.line]
    row = {table.id_name(identity): record.id, source: record.values["text"], target: record.values["json"]}
    return row | {name: raw.get(name) for name in others if name}


def _said(
    table: Table, source: str, target: str, identity: str | None, schema: str | None, keep: Sequence[str]
) -> list[str]:
    said = [f"texts are in {source!r} (--text names another column), their JSON in {target!r} (--json)"]
    said.append(f"ids are in {identity!r} (--id)" if identity else f"rows are called {table.path.stem}-LINE")
    if schema:
        said.append(f"each row brings its own schema in {schema!r}")
    if keep:
        said.append(f"kept for predictions.csv: {', '.join(map(repr, keep))}")
    return said


def _take_out_odd_rows(plan: Plan, table: Table, target: str, records: Sequence[Record]) -> None:
    odd = oddities([row[target] for row in plan.rows])
    plan.drop(
        {
            place: Fault(
                table.path,
                plan.lines[place],
                f"{f'{field} ' if field else ''}{reason}",
                target,
                table.raw[plan.lines[place]],
                records[place].id,
            )
            for place, (field, reason) in sorted(odd.items())
        }
    )


def _add_schema(plan: Plan, table: Table, target: str) -> None:
    unwritable = refused([row[target] for row in plan.rows], infer([row[target] for row in plan.rows], LOOSEST))
    plan.drop({k: Fault(table.path, plan.lines[k], why, target, plan.rows[k]) for k, why in unwritable.items()})
    values = [row[target] for row in plan.rows]
    bounds: Bounds | None = Bounds()
    schema = infer(values, bounds)
    while bounds and refused(values, schema):
        bounds = looser(bounds)
        schema = infer(values, bounds or LOOSEST)
    plan.schema = schema
    plan.findings += [f"schema: {line}" for line in described(schema)]


def refused(values: Sequence[Any], schema: Schema) -> dict[int, str]:
    """Return why values could not be written by a model that is held to a schema, by their places.

    Without llguidance, which holds a model to it, there are none.
    """
    if find_spec("llguidance") is None:
        return {}
    constraint = JsonSchemaConstraint()
    known: dict[str, str | None] = {}
    texts = [as_text(in_schema_form(value, schema)) for value in values]
    for text in dict.fromkeys(texts):
        try:
            known[text] = constraint.fault(text, {"schema": schema})
        except DataError as error:
            known[text] = str(error)
    return {place: why for place, text in enumerate(texts) if (why := known[text]) is not None}


def described(schema: Schema, path: str = "") -> list[str]:
    """Return the fields of a schema that may only have few values, for people to check."""
    found = []
    if "enum" in schema:
        shown = ", ".join(str(choice) for choice in schema["enum"][:SHOWN_CHOICES])
        more = ", …" if len(schema["enum"]) > SHOWN_CHOICES else ""
        found.append(f"{path or 'the value'} is one of {len(schema['enum'])}: {shown}{more}")
    for branch in schema.get("anyOf", []):
        found += described(branch, path)
    for key, part in schema.get("properties", {}).items():
        found += described(part, f"{path}.{key}".lstrip("."))
    if isinstance(schema.get("items"), dict):
        found += described(schema["items"], f"{path}[]")
    return found


def _repeated(plan: Plan, source: str, target: str) -> list[str]:
    answers: defaultdict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(plan.rows):
        answers[fold(row[source])].append(place)
    twice = [places for text, places in answers.items() if text and len(places) > 1]
    unlike = [p for p in twice if len({json.dumps(plan.rows[k][target], sort_keys=True) for k in p}) > 1]
    stand = many(len(twice), "text stands", "texts stand")
    said = [f"{stand} in several rows, which stay in one split"] if twice else []
    if unlike:
        lines = ", ".join(str(plan.lines[k]) for k in unlike[0][:4])
        count = many(len(unlike), "of them has", "of them have")
        said.append(f"{count} unlike answers, for example in lines {lines}: mend those that are wrong")
    return said


def _short(plan: Plan, source: str) -> str | None:
    """Return a rather short text on one line, as a shell takes it."""
    texts = sorted((" ".join(row[source].split()) for row in plan.rows), key=len)
    return shorten(texts[len(texts) // 4], LONGEST_EXAMPLE, placeholder="…") if texts else None
