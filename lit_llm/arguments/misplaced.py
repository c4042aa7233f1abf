"""Words at the wrong place of a command line, and the command that was probably meant."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from lit_llm.arguments.foreign import FOREIGN, NUMBER
from lit_llm.arguments.run_files import SUFFIXES
from lit_llm.paths import HUB_ID, missing_base

DATA = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".txt", ".xlsx")

MEANT = {
    "train": "fit",
    "training": "fit",
    "finetune": "fit",
    "fine-tune": "fit",
    "sft": "fit",
    "tune": "fit",
    "pretrain": "fit",
    "lora": "fit",
    "resume": "fit --config checkpoints/mine/config.yaml --ckpt_path last",
    "eval": "test",
    "evaluate": "test",
    "evaluation": "test",
    "val": "validate",
    "benchmark": "test",
    "score": "compare",
    "chat": "ask",
    "generate": "ask",
    "answer": "ask",
    "infer": "predict",
    "inference": "predict",
    "run": "fit",
    "merge": "export --run checkpoints/mine --merged FOLDER",
    "merge_lora": "export --run checkpoints/mine --merged FOLDER",
    "convert": "export --run checkpoints/mine --gguf FILE.gguf",
    "deploy": "serve --run checkpoints/mine",
    "server": "serve --run checkpoints/mine",
    "api": "serve --run checkpoints/mine",
    "webui": "serve --run checkpoints/mine",
    "new": "init",
    "create": "init",
    "setup": "init",
    "start": "init",
    "preprocess": "prepare",
    "tokenize": "audit",
    "inspect": "audit",
    "quantise": "quantize",
    "results": "report",
    "show": "report",
    "plot": "report",
}
"""Verbs of other tools, and the verb here with what it needs."""

NOTES = {
    "deploy": "export writes a folder for vLLM or transformers",
}
TAKES_CONFIG = ("fit", "validate", "test", "predict", "audit")


def wrong_verb(word: str, verbs: Collection[str]) -> str:
    """Say which command was meant by a first word that is no verb.

    Args:
        word: the first word of the command line.
        verbs: those there are.
    """
    if word.startswith("-"):
        return f"the verb comes before its options, got {word!r} first"
    if command := _of_place(word, "fit" if word.endswith((*SUFFIXES, *DATA)) else "test"):
        return f"the verb comes first, got {word!r}: {command}"
    plain = word.lower().replace("-", "_")
    meant = MEANT.get(word.lower()) or MEANT.get(plain) or MEANT.get(plain.replace("_", ""))
    if meant and meant.split()[0] in verbs:
        note = f" ({NOTES[plain]})" if plain in NOTES else ""
        return f"there is no verb {word!r}; it is called {meant!r} here{note}"
    near = difflib.get_close_matches(word.lower(), verbs, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(verbs)}"
    return f"unknown verb {word!r}; {hint}"


def wrong_place(verb: str, options: Sequence[str]) -> str:
    """Say what a word that is no option, nor the value of one, should have been; nothing where there is none.

    Args:
        verb: one that takes run files.
        options: what follows it.
    """
    word = next(_loose(options), None)
    if word is None:
        return ""
    name, equals, value = word.partition("=")
    if equals and "." in name:
        return f"{word}: options start with two dashes: --{word}"
    if equals and name in FOREIGN:
        return f"{word}: type {FOREIGN[name].said(value)}"
    if command := _of_place(word, verb):
        return f"{word} stands where an option is expected: {command}"
    return f"{word}: options start with two dashes, and a run file follows --config"


def _loose(options: Sequence[str]) -> Iterator[str]:
    """Yield the words that belong to no option."""
    takes_value = False
    for word in options:
        is_option = word.startswith("-") and len(word) > 1 and not re.fullmatch(NUMBER, word)
        if not is_option and not takes_value:
            yield word
        takes_value = is_option and "=" not in word and not word.endswith("help") and word != "-h"


def _of_place(word: str, verb: str) -> str:
    """Return the command that fits a file or folder that was named; nothing for other words."""
    path, given = Path(word), shlex.quote(word)
    run = shlex.quote(str(path / "config.yaml"))
    if word.endswith(SUFFIXES):
        return f"python -m lit_llm {verb} --config {given}"
    if (path / "config.yaml").is_file():
        return f"python -m lit_llm {verb} --config {run}{' --ckpt_path last' if verb == 'fit' else ''}"
    if word.endswith(".ckpt"):
        return f"python -m lit_llm {verb} --config {shlex.quote(str(path.parent / 'config.yaml'))} --ckpt_path {given}"
    if word.endswith(DATA):
        key = {"validate": "valid", "test": "test.mine", "predict": "predict"}.get(verb, "train")
        config = "configs/run/extraction_tiny.yaml" if key == "train" else "checkpoints/mine/config.yaml"
        return f"python -m lit_llm {verb} --config {config} --data.{key} {given}"
    if "/" in word and not path.exists() and (wrong := missing_base(word)):
        return wrong
    if (path / "config.json").is_file() or ("/" in word and not path.exists() and HUB_ID.fullmatch(word)):
        return f"a base is named with --model.backbone {given}"
    if path.is_dir():
        return f"{word} holds no config.yaml, so it is no run folder; a run file follows --config"
    return ""
