"""How well generated text matches the JSON that was expected."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from typing import Any, Literal

import torch
from torch import Tensor

from lit_llm.catalogues import path_name
from lit_llm.errors import ConfigError
from lit_llm.metrics.base import FieldScore, LineMetric
from lit_llm.metrics.json_fields import PairScore, score_pair
from lit_llm.metrics.json_leaves import Rules
from lit_llm.metrics.json_text import parse_json
from lit_llm.schemas import date_paths, first_fault

_UNIT = 2**40
"""Document F1 is added up in integers of this fraction: float sums depend on the order of rows and processes."""

_TOTALS = (
    *("rows", "usable", "strict", "found", "exact", "normalised", "with_schema", "valid", "document_f1"),
    *("verbatim_tp", "verbatim_fp", "verbatim_fn", "lenient_tp", "lenient_fp", "lenient_fn"),
)


class ExtractionMetrics(LineMetric):
    """Rates and field scores of JSON extraction.

    A field is a scalar, or an empty object or list. Lists are compared item by item after the assignment that
    makes most fields agree, so their order does not count; a superfluous item does, as false positives. A text
    that does not parse misses every field of its reference.

    ``compute`` returns

    - ``field_f1``, ``field_precision``, ``field_recall``: over the fields of all rows (micro);
    - ``field_f1_verbatim``: the same where texts must be equal as written;
    - ``field_f1_type_lenient``: the same where ``"50"`` equals 50;
    - ``document_f1``: the mean over rows; ``field_macro_f1``: the mean over field names that references have;
    - ``exact_match``: equal but for the order of keys; ``exact_match_normalised``: no field differs;
    - ``strict_parse``: the text is JSON; ``lenient_parse``: it is, or JSON was recovered from a code fence or from
      the text around it;
    - ``schema_valid``: among rows whose meta has a ``schema``, those that meet it; absent if no row has one.

    Args:
        task: rows of this task are scored.
        parse: ``strict`` scores a text only if all of it is JSON; ``lenient`` scores what could be recovered.
        ignore_null: a field that is null counts as missing.
        number_tolerance: numbers that differ by no more than this are equal.
        date_fields: fields compared as dates, such as ``fecha`` or ``items[].due``, besides those whose format is
            ``date``, ``date-time`` or ``time`` in the row's schema. Where meta has a ``reference_date``, ``mañana`` and
            days without a year are the days that they are meant to be on that one.
        day_first: read 03/05/2024 as the third of May.
    """

    main = "field_f1"
    totals: Tensor

    def __init__(
        self,
        task: str = "extraction",
        parse: Literal["strict", "lenient"] = "strict",
        ignore_null: bool = True,
        number_tolerance: float = 0.0,
        date_fields: list[str] | None = None,
        day_first: bool = True,
    ) -> None:
        super().__init__(task)
        if not 0 <= number_tolerance < float("inf"):
            raise ConfigError(f"number_tolerance: {number_tolerance} is not a finite number of at least 0")
        if wrong := [name for name in date_fields or () if re.search(r"\[\d", name)]:
            raise ConfigError(f"date_fields: {wrong[0]} names one position; write [] for all items of a list")
        self.parse = parse
        self.rules = Rules(
            ignore_null=ignore_null,
            number_tolerance=number_tolerance,
            dates=frozenset(date_fields or ()),
            day_first=day_first,
        )
        self._per_field: dict[str, FieldScore] = {}
        self.add_state("totals", torch.zeros(len(_TOTALS), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predictions: list[str], references: list[Any], meta: list[dict[str, Any]]) -> None:
        """Score some rows.

        Args:
            predictions: the generated text as it came.
            references: parsed JSON values.
            meta: rows' meta; ``schema``, where present, is a JSON schema.

        Raises:
            DataError: a row's schema is broken, or its reference is not a JSON value.
        """
        totals: Counter[str] = Counter()
        fields: list[tuple[str, FieldScore]] = []
        for text, gold, row in zip(predictions, references, meta, strict=True):
            schema = row.get("schema")
            rules = self.rules if schema is None else self._with_dates(schema, gold, parse_json(text).value)
            if day := row.get("reference_date"):
                rules = replace(rules, today=date.fromisoformat(day))
            score = score_pair(gold, text, rules, self.parse)
            totals.update(_counts(score, schema))
            fields += score.fields.items()
        self.totals += torch.tensor([totals[name] for name in _TOTALS], device=self.totals.device)
        self.note([name, score.tp, score.fp, score.fn] for name, score in _sum_by_field(fields).items())

    def compute(self) -> dict[str, float]:
        """Return the values by name; nothing before the first row."""
        totals = dict(zip(_TOTALS, self.totals.tolist(), strict=True))
        self._per_field = _sum_by_field((name, FieldScore(*counts)) for name, *counts in self.noted())
        rows = totals["rows"]
        if not rows:
            return {}
        values = {**_field_values(self._per_field, totals), "document_f1": totals["document_f1"] / _UNIT / rows}
        for name, count in {
            "exact_match": "exact",
            "exact_match_normalised": "normalised",
            "strict_parse": "strict",
            "lenient_parse": "found",
        }.items():
            values[name] = totals[count] / rows
        if totals["with_schema"]:
            values["schema_valid"] = totals["valid"] / totals["with_schema"]
        return values

    def per_field(self) -> dict[str, FieldScore]:
        """Return the counts of each field, list positions written as ``[]``, in alphabetical order."""
        self.compute()
        return dict(self._per_field)

    def _with_dates(self, schema: Any, *values: Any) -> Rules:
        """Return the rules with what a schema calls dates, in the reference or in the answer."""
        found = (date_paths(value, schema) for value in values)
        names = {path_name(path, field=True) for paths in found for path in paths}
        return replace(self.rules, dates=self.rules.dates | names)


def _sum_by_field(scores: Iterable[tuple[str, FieldScore]]) -> dict[str, FieldScore]:
    """Add up the scores of each field, in alphabetical order."""
    sums: defaultdict[str, FieldScore] = defaultdict(FieldScore)
    for name, score in scores:
        sums[name] += score
    return dict(sorted(sums.items()))


def _counts(score: PairScore, schema: dict[str, Any] | bool | None) -> dict[str, int]:
    counts = {
        "rows": 1,
        "usable": score.usable,
        "strict": score.parsed.strict,
        "found": score.parsed.found,
        "exact": score.exact,
        "normalised": score.exact_normalised,
        "with_schema": schema is not None,
        "valid": schema is not None and score.usable and first_fault(score.parsed.value, schema) is None,
        "document_f1": round(score.document_f1 * _UNIT),
    }
    for name, field in {"verbatim": score.verbatim, "lenient": score.type_lenient}.items():
        counts |= {f"{name}_tp": field.tp, f"{name}_fp": field.fp, f"{name}_fn": field.fn}
    return counts


def _field_values(fields: dict[str, FieldScore], totals: dict[str, int]) -> dict[str, float]:
    micro = sum(fields.values(), FieldScore())
    verbatim, lenient = (
        FieldScore(*(totals[f"{name}_{count}"] for count in ("tp", "fp", "fn"))) for name in ("verbatim", "lenient")
    )
    scored = [field.f1 for field in fields.values() if field.support]
    values = {
        "field_f1": micro.f1,
        "field_precision": micro.precision,
        "field_recall": micro.recall,
        "field_f1_verbatim": verbatim.f1,
        "field_f1_type_lenient": lenient.f1,
        "field_macro_f1": sum(scored) / len(scored) if scored else micro.f1,
    }
    # Without a single field on either side the counts cannot tell texts that failed to parse from right ones.
    empty = micro == FieldScore()
    return dict.fromkeys(values, totals["usable"] / totals["rows"]) if empty else values
