"""What a tokenizer does to a text before it looks for tokens, which other programs may leave to their user."""

from __future__ import annotations

import json
import unicodedata
from typing import Any, Literal, cast

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]


def text_form(tokenizer: Any) -> str:
    """Return the names of what a tokenizer does to texts, such as ``NFC``, joined by ``+``; empty for nothing."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    found = json.loads(backend.to_str())["normalizer"] if backend else None
    parts = [] if found is None else found["normalizers"] if found["type"] == "Sequence" else [found]
    return "+".join(part["type"] for part in parts)


def normalized(tokenizer: Any, text: str) -> str:
    """Return a text in the form that its tokenizer gives it, where that is one of Unicode's."""
    form = text_form(tokenizer)
    return unicodedata.normalize(cast(Form, form), text) if form in ("NFC", "NFD", "NFKC", "NFKD") else text
