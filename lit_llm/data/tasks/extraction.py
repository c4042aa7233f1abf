"""JSON extraction: a text in, a JSON value out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lit_llm.batch import as_text
from lit_llm.data.base import LMData
from lit_llm.data.records.reading import MAX_LINE_BYTES, Column, Record
from lit_llm.data.tokens.dataset import Example
from lit_llm.errors import ConfigError, DataError
from lit_llm.metrics import first_fault, parse_json


class ExtractionData(LMData):
    """Records with a text and the JSON value that it states.

    Files are JSONL, JSON, CSV, TSV or Parquet. Targets are learned as compact JSON; with a schema, its properties give
    the order of the keys.

    Args:
        text_field: column of the text.
        json_field: column of the JSON value; needed in every file but ``predict``.
        schema_field: column of a JSON schema per record, where they differ.
        schema: file of the JSON schema that every value must satisfy.
        max_line_bytes: longest line of a text file, so that one forgotten newline does not fill the memory.
        **kwargs: as for ``LMData``.
    """

    task = "extraction"

    def __init__(
        self,
        text_field: str = "text",
        json_field: str = "json",
        schema_field: str | None = None,
        schema: str | None = None,
        max_line_bytes: int = MAX_LINE_BYTES,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.text_field, self.json_field, self.schema_field = text_field, json_field, schema_field
        self.max_line_bytes = max_line_bytes
        self.schema = _read_schema(schema) if schema else None

    def read(self, path: Path) -> list[Example]:
        """Return the records of a file.

        Raises:
            DataError: if one has no text, no JSON value where it is needed, or one that its schema refuses.
        """
        to_answer = self.files["predict"] is not None and path == Path(self.files["predict"])
        columns = {
            "text": Column(self.text_field),
            "json": Column(self.json_field, kind="json", required=not to_answer),
        }
        if self.schema_field:
            columns["schema"] = Column(self.schema_field, kind="json", required=False, expected=not to_answer)
        return self.read_table(path, columns, lambda record: [self._example(record)])

    def postprocess(self, raw: str, meta: Mapping[str, Any]) -> tuple[str, str, str]:
        """Return the JSON value in compact form, or why the text is none."""
        parsed = parse_json(raw)
        if not parsed.strict:
            return "", "invalid", parsed.error or "not JSON"
        schema = meta.get("schema")
        fault = first_fault(parsed.value, schema) if schema else None
        if fault:
            return "", "invalid", fault
        return as_text(parsed.value), "ok", ""

    def restated(self, example: Example, text: str, reference: Any) -> Example:
        """Return a variant of an example; its strings keep their form where the schema refuses that of the text."""
        schema = example.meta.get("schema")
        if reference == example.reference or (schema and first_fault(reference, schema)):
            return replace(example, text=text)
        return replace(example, text=text, answer=as_text(reference), reference=reference)

    def _example(self, record: Record) -> Example:
        value, schema = record.values["json"], record.values.get("schema") or self.schema
        if value is not None and schema:
            fault = first_fault(value, schema)
            if fault:
                raise DataError(f"{record.place}: field '{self.json_field}' {fault}: mend the record or the schema")
            value = _in_order(value, schema)
        answer = as_text(value) if value is not None else None
        meta = {"schema": schema} if schema else {}
        return Example(record.id, record.values["text"], answer, value, record.place, meta)


def _read_schema(path: str) -> dict[str, Any]:
    try:
        schema: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
        first_fault(None, schema)
    except (OSError, ValueError, DataError) as error:
        first = str(error).splitlines()[0]
        raise ConfigError(f"data.init_args.schema: {path!r} is no JSON schema ({first})") from error
    return schema


def _in_order(value: Any, schema: Any) -> Any:
    """Return the value with the keys of its objects in the order of the schema's properties."""
    schema = schema if isinstance(schema, dict) else {}
    if isinstance(value, list):
        return [_in_order(item, schema.get("items")) for item in value]
    if not isinstance(value, dict):
        return value
    properties = schema.get("properties", {})
    keys = [key for key in properties if key in value] + [key for key in value if key not in properties]
    return {key: _in_order(value[key], properties.get(key)) for key in keys}
