"""A tokenizer in a GGUF file: which of llama.cpp's ways to cut texts is its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from lit_llm.errors import ConfigError
from lit_llm.sharing import text_form

FORMS = ("", "NFC", "NFD", "NFKC", "NFKD")
"""Ways to normalise a text that its writer can do before llama.cpp, which never does, reads it."""

RULES = {
    "qwen2": "It|'LL| cost| | |1|2|3| | now|\n\n| ok|,| ¿|sí|?| e|\u0301x",
    "llama-bpe": "It|'LL| cost| | |123| | now|\n\n| ok|,| ¿|sí|?| e|\u0301x",
    "smollm": "It|'|LL| cost|  |1|2|3| | now|\n\n| ok|,| ¿|sí|?| e|\u0301|x",
    "gpt-2": "It|'|LL| cost| | 123| | now|\n\n| ok|,| ¿|sí|?| e|\u0301|x",
}
"""One text, cut as llama.cpp does by each of its rules before it looks for tokens."""


def add_tokenizer(writer: Any, tokenizer: Any, size: int) -> None:
    """Add tokens, merges and the chat template; ids beyond the tokenizer's get a name that no text has.

    Args:
        writer: gguf's.
        tokenizer: a fast one of transformers.
        size: tokens that the model knows.

    Raises:
        ConfigError: if llama.cpp has no tokenizer like it.
    """
    rule = rule_of(tokenizer)
    parts = json.loads(tokenizer.backend_tokenizer.to_str())
    tokens, types = _listed(parts, size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(rule)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    merges = parts["model"]["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    # The template writes it, by the name that the file gives it.
    writer.add_add_bos_token(False)
    for add, token in (
        (writer.add_bos_token_id, tokenizer.bos_token_id),
        (writer.add_pad_token_id, tokenizer.pad_token_id),
        (writer.add_unk_token_id, tokenizer.unk_token_id),
    ):
        if token is not None:
            add(token)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


def add_ends(writer: Any, ends: Sequence[int | None]) -> None:
    """Add the tokens that end an answer; llama.cpp has three names for them, and stops at each."""
    names = writer.add_eos_token_id, writer.add_eot_token_id, writer.add_eom_token_id
    for add, token in zip(names, ends, strict=False):
        if token is not None:
            add(token)


def rule_of(tokenizer: Any) -> str:
    """Return llama.cpp's name for the way in which a tokenizer cuts texts.

    Raises:
        ConfigError: if it has none that is known here.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    kind = json.loads(backend.to_str())["model"]["type"] if backend else type(tokenizer).__name__
    if backend is None or kind != "BPE" or backend.pre_tokenizer is None:
        raise ConfigError(f"--gguf: the tokenizer is no byte-level BPE ({kind}), which alone is written; use --merged")
    form = text_form(tokenizer)
    if form not in FORMS:
        raise ConfigError(
            f"--gguf: the tokenizer changes texts by {form} before it reads them, and llama.cpp does not; use --merged"
        )
    text = RULES["qwen2"].replace("|", "")
    found = "|".join(text[begin:end] for _, (begin, end) in backend.pre_tokenizer.pre_tokenize_str(text))
    for name, pieces in RULES.items():
        if pieces == found:
            return name
    raise ConfigError(
        f"--gguf: the tokenizer cuts texts into {found!r}, as none of {', '.join(RULES)} does, the ways of llama.cpp "
        "that are known here; use --merged"
    )


def _listed(parts: dict[str, Any], size: int) -> tuple[list[str], list[int]]:
    """Return tokens and their types by id."""
    from gguf import TokenType

    tokens, types = [f"[PAD{at}]" for at in range(size)], [int(TokenType.UNUSED)] * size
    found = [(token, at, TokenType.NORMAL) for token, at in parts["model"]["vocab"].items()]
    for token in parts["added_tokens"]:
        found.append((token["content"], token["id"], TokenType.CONTROL if token["special"] else TokenType.USER_DEFINED))
    for token, at, kind in found:
        if at >= size:
            raise ConfigError(f"--gguf: the tokenizer has token {at} ({token!r}), and the model {size} of them")
        tokens[at], types[at] = token, int(kind)
    return tokens, types
