"""JSON schemas: reading them, holding values to them, and writing values as their grammar does.

The dialect is Draft 2020-12 unless a schema names another. ``format`` is an annotation, hence not checked, and
references to other documents are never fetched.
"""

from lit_llm.schemas.classes import names_class
from lit_llm.schemas.compiled import Schema, cleaned, compiled, read_schema
from lit_llm.schemas.dates import date_paths
from lit_llm.schemas.fields import has_field, refused_texts
from lit_llm.schemas.validity import first_fault
from lit_llm.schemas.writing import in_schema_form

__all__ = [
    "Schema",
    "cleaned",
    "compiled",
    "date_paths",
    "first_fault",
    "has_field",
    "in_schema_form",
    "names_class",
    "read_schema",
    "refused_texts",
]
