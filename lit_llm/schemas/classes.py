"""JSON schemas of classes: what Pydantic makes of its models, of dataclasses and of typed dictionaries."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

from lit_llm.errors import DataError

_CLASS = re.compile(r"([A-Za-z_]\w*(?:\.\w+)*):([A-Za-z_]\w*)")


def names_class(schema: str) -> bool:
    """Whether a schema is named as ``module:Class``, and not as a file."""
    return _CLASS.fullmatch(schema) is not None and not Path(schema).exists()


def schema_of(name: str) -> Any:
    """Return the JSON schema of the class ``module:Class``.

    Raises:
        DataError: if there is no such class, or Pydantic makes no schema of it.
    """
    module, _, own = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), own)
    except (Exception, SystemExit) as error:
        # Whatever happens in somebody's module while it is imported is theirs to mend.
        said = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        raise DataError(f"meta.schema: {name!r} cannot be imported ({said}): write module:Class") from error
    try:
        return _schema(found)
    except Exception as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"meta.schema: Pydantic makes no JSON schema of {name!r}: {said}") from error


def _schema(found: Any) -> Any:
    if hasattr(found, "model_json_schema"):
        return found.model_json_schema()
    from pydantic import TypeAdapter

    return TypeAdapter(found).json_schema()
