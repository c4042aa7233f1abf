"""JSON extraction: a text in, a JSON value out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lit_llm.batch import as_text
from lit_llm.catalogues import rules_of, settle
from lit_llm.data.base import LMData
from lit_llm.data.catalogues import FieldCatalogue, catalogue_meta, offered
from lit_llm.data.days import LINE, day_line, read_day, written_on
from lit_llm.data.records.reading import MAX_LINE_BYTES, Column, Record
from lit_llm.data.settings import refuse_unknown
from lit_llm.data.tokens.dataset import Example
from lit_llm.data.tokens.prompting import Context
from lit_llm.errors import ConfigError, DataError
from lit_llm.generation import Constraint
from lit_llm.metrics import parse_json
from lit_llm.metrics.json_text import behind_thoughts
from lit_llm.schemas import Schema, cleaned, first_fault, in_schema_form, read_schema
from lit_llm.strict_json import dumps, loads


class ExtractionData(LMData):
    """Records with a text and the JSON value that it states.

    Files are JSONL, JSON, CSV, TSV or Parquet. Targets are learned as compact JSON; with a schema, it gives the order
    of the keys.

    Args:
        text_field: column of the text.
        json_field: column of the JSON value; needed in every file but ``predict``.
        schema_field: column of a JSON schema per record, where they differ.
        schema: file of the JSON schema that every value must satisfy, or a class that Pydantic knows, as
            ``module:Class``.
        catalogues: what the values of fields are taken from, by the name of the field, such as
            ``purchases[].product_name``.
        reference_date: the day on which all texts were written, as 2024-03-05. A text is then asked with it, and days
            such as ``mañana`` are compared, and written by the augmenter, as they are meant on that day.
        reference_date_field: column of that day, where rows differ in it.
        date_line: how a text is asked with its day; ``{date}`` and ``{weekday}`` stand for it.
        max_line_bytes: longest line of a text file, so that one forgotten newline does not fill the memory.
        **kwargs: as for ``LMData``.
    """

    task = "extraction"
    fact_settings = ("schema_field", "reference_date_field")

    def __init__(
        self,
        text_field: str = "text",
        json_field: str = "json",
        schema_field: str | None = None,
        schema: str | None = None,
        catalogues: dict[str, FieldCatalogue] | None = None,
        reference_date: str | None = None,
        reference_date_field: str | None = None,
        date_line: str = LINE,
        max_line_bytes: int = MAX_LINE_BYTES,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.text_field, self.json_field, self.schema_field = text_field, json_field, schema_field
        self.max_line_bytes = max_line_bytes
        self.schema_file = schema
        self.schema = _read_schema(schema) if schema else None
        self.catalogues = catalogues or {}
        self.reference_date, self.reference_date_field = reference_date, reference_date_field
        self.date_line = date_line
        if reference_date is not None:
            self.reference_date = _day(reference_date, "data.init_args.reference_date")
        self._offers = any(field.candidates for field in self.catalogues.values())
        self._rows_meta = {"catalogues": catalogue_meta(self.catalogues, self.schema)} if self.catalogues else {}

    def setup(self, stage: str) -> None:
        """Read and encode the files that a stage needs.

        Raises:
            ConfigError: also where no grammar can be made of the schema that a generator's constraint would hold.
        """
        for key, constraint in self._constraints.items():
            try:
                constraint.fault(None, {} if self.schema is None else {"schema": self.schema})
            except DataError as error:
                place = f"data.init_args.schema: {self.schema_file}" if self.schema_file else f"{key}.constraint"
                raise ConfigError(f"{place}: {error}") from error
        super().setup(stage)

    def read(self, path: Path) -> list[Example]:
        """Return the records of a file; see ``stream``."""
        return list(self.stream(path))

    def stream(self, path: Path) -> Iterator[Example]:
        """Yield the records of a file.

        Raises:
            DataError: if one has no text, no JSON value where it is needed, one that its schema refuses, or one to
                learn from that a generator's constraint could never let the model write.
        """
        learned = path in [Path(file) for name in ("train", "valid") if (file := self.files[name])]
        to_answer = self.files["predict"] is not None and path == Path(self.files["predict"])
        columns = {
            "text": Column(self.text_field),
            "json": Column(self.json_field, kind="json", required=not to_answer, lenient=self.lenient),
        }
        if self.schema_field:
            columns["schema"] = Column(self.schema_field, kind="json", required=False, expected=not to_answer)
        if self.reference_date_field:
            columns["day"] = Column(self.reference_date_field, required=False, expected=self.reference_date is None)
        yield from self.stream_table(path, columns, lambda record: [self._writable(self._example(record), learned)])

    def question(self, text: str, **facts: Any) -> Example:
        """Return a text to answer.

        Args:
            text: what is asked.
            facts: ``schema``: file of the JSON schema of its answer; ``reference_date``: the day on which it was
                written; by default those of the data.
        """
        refuse_unknown(self.task, facts, ("schema", "reference_date"))
        schema = _read_schema(facts["schema"]) if facts.get("schema") else self.schema
        day = _day(facts["reference_date"], "reference_date") if facts.get("reference_date") else self.reference_date
        return self._asked(replace(super().question(text), meta=self._meta(schema, day)))

    def postprocess(self, raw: str, meta: Mapping[str, Any]) -> tuple[str, str, str]:
        """Return the JSON value in compact form, or why the text is none."""
        parsed = parse_json(raw)
        if not parsed.strict:
            return "", "invalid", parsed.error or "not JSON"
        schema = meta.get("schema")
        fault = first_fault(parsed.value, schema) if schema is not None else None
        if fault:
            emptied = [f"{where}: {note['written']!r}" for where, note in strangers(meta) if note["name"] is None]
            return "", "invalid", fault + (f"; in no catalogue: {', '.join(emptied)}" if emptied else "")
        return as_text(parsed.value), "ok", ""

    def settled(self, raw: str, meta: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return a text whose names are those of their catalogues; ``catalogue`` notes what was none, by path."""
        rules = rules_of(meta)
        answer = behind_thoughts(raw) if rules else None
        if answer is None:
            return raw, {}
        value, changed = settle(loads(answer), rules)
        if not changed:
            return raw, {}
        return raw.removesuffix(answer) + as_text(value), {"catalogue": {each.where: each.note() for each in changed}}

    def restated(self, example: Example, text: str, reference: Any) -> Example:
        """Return a variant of an example; its strings keep their form where the schema refuses that of the text."""
        schema, reference = example.meta.get("schema"), self._respelled(reference)
        refused = schema is not None and first_fault(reference, schema)
        if reference == example.reference or refused:
            return self._asked(replace(example, text=text))
        return self._asked(replace(example, text=text, answer=as_text(reference), reference=reference))

    def row_facts(self) -> dict[str, Any]:
        """Return what decides the rows of a file: grammars that have to be able to write them, and catalogues."""
        return dict(self._constraints) | {"catalogues": self._contents()}

    def template_fingerprint(self) -> str:
        """Return a hash of how conversations are written, the line of the day among it."""
        own = super().template_fingerprint()
        if self.reference_date is None and self.reference_date_field is None:
            return own
        return hashlib.sha256(f"{own}{self.date_line}".encode()).hexdigest()[:16]

    def fingerprint(self) -> dict[str, str]:
        """Return what decides the rows of ``predict``, the catalogues among it, wherever they are kept."""
        return super().fingerprint() | ({"catalogues": dumps(self._contents())} if self.catalogues else {})

    def _contents(self) -> dict[str, Any]:
        """Return what the catalogues of fields hold, without where."""
        held = self._rows_meta.get("catalogues", {})
        return {name: own | {"folder": Path(own["folder"]).name} for name, own in held.items()}

    def _example(self, record: Record) -> Example:
        value, schema = record.values["json"], self._schema(record)
        if value is not None and schema is not None:
            fault = first_fault(value, schema)
            if fault and not self.lenient:
                raise DataError(f"{record.place}: field '{self.json_field}' {fault}: mend the record or the schema")
            if fault:
                record.notes.append(f"field '{self.json_field}' {fault}")
            value = None if fault else in_schema_form(value, schema)
        value = self._respelled(value)
        answer = as_text(value) if value is not None else None
        return self._asked(
            Example(
                record.id, record.values["text"], answer, value, record.place, self._meta(schema, self._day(record))
            )
        )

    def _respelled(self, value: Any) -> Any:
        """Return a value whose names are written as their catalogues have them; others stay."""
        return settle(value, [rule._replace(missing="keep") for rule in rules_of(self._rows_meta)])[0]

    def _meta(self, schema: Schema | None, day: str | None) -> dict[str, Any]:
        own = {"schema": schema, "reference_date": day}
        return {name: value for name, value in own.items() if value is not None} | self._rows_meta

    def _day(self, record: Record) -> str | None:
        """Return the record's own day, else that of the data."""
        own = record.values.get("day")
        try:
            return self.reference_date if own is None else read_day(own).isoformat()
        except ValueError as error:
            raise DataError(f"{record.place}: field '{self.reference_date_field}': {error}") from None

    def _asked(self, example: Example) -> Example:
        """Return an example whose text is asked with its day, and with the names that it may mean."""
        day = written_on(example.meta)
        if not self._offers and day is None:
            return example
        names = offered(example.text, self.catalogues, self._rows_meta["catalogues"]) if self._offers else ""
        told = f"{day_line(self.date_line, day)}\n" if day else ""
        asked = Context(self.system, self.instruction).asked("{text}")
        return replace(example, context=Context(self.system, f"{told}{asked}{names}"))

    @property
    def _constraints(self) -> dict[str, Constraint]:
        """What the model's generators hold answers to; nothing without a model, as in ``audit``."""
        model = getattr(self.trainer, "lightning_module", None)
        return getattr(model, "constraints", {})

    def _writable(self, example: Example, learned: bool) -> Example:
        """Refuse a row that a constraint cannot hold, and an answer that would be learned and could not be written."""
        for key, constraint in self._constraints.items():
            if fault := constraint.fault(example.answer if learned else None, example.meta):
                raise DataError(
                    f"{example.place}: field '{self.json_field}' at {fault}: the grammar of {key}.constraint cannot "
                    "write it: mend the value or the schema, or remove the constraint"
                )
        return example

    def _schema(self, record: Record) -> Schema | None:
        """Return the record's own schema, be it one that allows everything, else the file's."""
        own = record.values.get("schema")
        if own is None:
            return self.schema
        try:
            return cleaned(own)
        except DataError as error:
            raise DataError(f"{record.place}: field '{self.schema_field}' is no JSON schema: {_said(error)}") from error


def _day(value: str, setting: str) -> str:
    try:
        return read_day(value).isoformat()
    except ValueError as error:
        raise ConfigError(f"{setting}: {error}") from None


def strangers(meta: Mapping[str, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    """Return what was noted of names that are in no catalogue, with their places."""
    return ((where, note) for where, note in meta.get("catalogue", {}).items() if not note["known"])


def _read_schema(path: str) -> Schema:
    try:
        return read_schema(path)
    except DataError as error:
        raise ConfigError(f"data.init_args.schema: {path!r} is no JSON schema: {_said(error)}") from error


def _said(error: DataError) -> str:
    """Return what is wrong with a schema, whose place others know better."""
    return str(error).removeprefix("meta.schema: ")
