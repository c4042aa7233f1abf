"""Metrics: predictions and references in, numbers out; one torchmetrics.Metric per file."""

from lit_llm.metrics.answers import AnswerMetrics
from lit_llm.metrics.base import FieldScore, TextMetric
from lit_llm.metrics.catalogues import CatalogueMetrics
from lit_llm.metrics.extraction import ExtractionMetrics
from lit_llm.metrics.field_table import field_table
from lit_llm.metrics.json_fields import differing_paths, score_pair
from lit_llm.metrics.json_leaves import Rules
from lit_llm.metrics.json_text import Parsed, parse_json
from lit_llm.metrics.sign import SignMetrics
from lit_llm.metrics.translation import TranslationMetrics
from lit_llm.metrics.weighted import WeightedF1

__all__ = [
    "AnswerMetrics",
    "CatalogueMetrics",
    "ExtractionMetrics",
    "FieldScore",
    "Parsed",
    "Rules",
    "SignMetrics",
    "TextMetric",
    "TranslationMetrics",
    "WeightedF1",
    "differing_paths",
    "field_table",
    "parse_json",
    "score_pair",
]
