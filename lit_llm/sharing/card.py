"""The model card of what is handed on: where it comes from, how it was asked, how to ask it, how good it is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from lit_llm.results import Result, content_hash, read_results
from lit_llm.sharing.about import About
from lit_llm.sharing.snippets import Snippet
from lit_llm.storage import write_atomically
from lit_llm.version import __version__

NAME = "README.md"

SCORES = "<!-- scores -->"
"""Stands before and behind the scores, which a later test replaces."""


def write_card(
    path: Path, about: About, title: str, kind: str, ends: Sequence[str], snippets: Sequence[Snippet], run: Path | None
) -> None:
    """Write a card.

    Args:
        path: file to write.
        about: facts of the run.
        title: heading.
        kind: ``adapter``, ``model``, ``quantized`` or ``gguf``.
        ends: tokens that end an answer.
        snippets: code that asks the weights.
        run: folder of the run, for its scores.
    """
    parts = [_head(about, kind), f"# {title}", _origin(about, kind), *_asked(about, ends), *_used(snippets)]
    parts.append(scores_part(_of_best(run) if run else []))
    path.write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")


def renew_scores(card: Path, run: Path) -> None:
    """Put the newest scores of a run into a card that has a place for them; does nothing to any other file."""
    if not card.is_file():
        return
    text = card.read_text(encoding="utf-8")
    before, *rest = text.split(SCORES)
    if len(rest) == 2 and (new := before + scores_part(_of_best(run)) + rest[1]) != text:
        write_atomically(card, new.encode())


def _of_best(run: Path) -> list[Result]:
    """Return the results of the best weights that a run holds now, not of those that they have replaced."""
    best = run / "best.ckpt"
    mark = content_hash(best) if best.exists() else ""
    return [result for result in read_results(run) if result.checkpoint and result.checkpoint.get("sha256") == mark]


def scores_part(results: Sequence[Result]) -> str:
    """Return the newest scores of each test file of the best checkpoint as a table, metrics down and files across."""
    newest: dict[str, dict[str, float]] = {}
    for result in results:
        if result.verb == "test" and (result.checkpoint or {}).get("name") == "best":
            newest |= result.scores
    if not newest:
        return f"{SCORES}\n\n## Scores\n\nNone yet: `python -m lit_llm test` measures the test files.\n\n{SCORES}"
    names = list(dict.fromkeys(metric for scores in newest.values() for metric in scores))
    rows = [["metric", *newest], ["---", *["---:" for _ in newest]]]
    for name in names:
        rows.append([name, *(_number(scores.get(name)) for scores in newest.values())])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{SCORES}\n\n## Scores\n\nOf the best checkpoint, on the files of the test:\n\n{table}\n\n{SCORES}"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if float(value).is_integer() and abs(value) > 1 else f"{value:.3f}"


def _head(about: About, kind: str) -> str:
    """Return what the Hub reads."""
    relation = {"adapter": "adapter", "model": "finetune"}.get(kind, "quantized")
    head: dict[str, Any] = {}
    if about.hub_id:
        head |= {"base_model": about.hub_id, "base_model_relation": relation}
    if kind != "gguf":
        head["library_name"] = "peft" if kind == "adapter" else "transformers"
    head["pipeline_tag"] = "text-generation"
    tags = ["lit_llm", *([about.task] if about.task else [])]
    tags += ["gguf"] if kind == "gguf" else []
    if kind == "adapter":
        tags.append(about.adapter.split()[0].lower())
        tags += [f"base_model:adapter:{about.hub_id}"] if about.hub_id else []
    text = yaml.safe_dump(head | {"tags": tags}, sort_keys=False, allow_unicode=True)
    return f"---\n{text}---"


def _origin(about: About, kind: str) -> str:
    what = {
        "adapter": f"Adapter ({about.adapter}) for",
        "model": f"Weights, fine-tuned ({about.adapter}), of",
        "quantized": f"Weights in few bits, fine-tuned ({about.adapter}), of",
        "gguf": f"Weights for llama.cpp, fine-tuned ({about.adapter}), of",
    }[kind]
    base = f"[{about.hub_id}](https://huggingface.co/{about.hub_id})" if about.hub_id else f"`{about.base}`"
    revision = f" at revision `{about.revision}`" if about.revision and about.hub_id else ""
    source = f"{base}{revision}" if about.base else "a base with random weights"
    task = f" Task: {about.task}." if about.task else ""
    notes = [f"{what} {source}, made with lit_llm {__version__}.{task}"]
    if about.stored and kind == "adapter":
        notes.append("It was trained on the base in few bits; the code below opens it so.")
    if about.rounded and kind != "quantized" and not about.kept:
        notes.append(
            "Weights were rounded while they learned, and are not rounded here: `python -m lit_llm quantize` does that."
        )
    if about.form and kind == "gguf":
        notes.append(
            f"Its tokenizer brings texts into Unicode's form {about.form} first, and llama.cpp does not: write them "
            "so, as the code below does, or an `á` of two characters is read as other tokens than in training."
        )
    return " ".join(notes)


def _asked(about: About, ends: Sequence[str]) -> list[str]:
    if not about.prompts:
        return []
    limit = about.generation.get("max_new_tokens")
    how = "drawn at random" if about.generation.get("do_sample") else "decoded greedily"
    if about.generation.get("num_beams"):
        how = f"searched with {about.generation['num_beams']} beams"
    parts = [
        "## How it was asked",
        "Prompts are written by the chat template beside the weights, with `add_generation_prompt=True` and "
        "`enable_thinking=False`. `{text}` stands for the text; nothing else stands around it.",
    ]
    for name, turns in about.prompts.items():
        part = name.partition(" ")[0]
        own = isinstance(about.template, dict) and part in about.template
        written = f' with `chat_template="{part}"`' if own else ""
        heading = f"`{name}`{written}:\n\n" if name else ""
        parts.append(f"{heading}```json\n{json.dumps(turns, ensure_ascii=False, indent=1)}\n```")
    ended = " or ".join(f"`{token}`" for token in ends)
    parts.append(f"An answer ends with {ended}. Answers were {how}, with at most {limit} tokens.")
    if about.schema:
        parts.append(
            "The run held its answers to a JSON schema. The code below does not; in vLLM, structured outputs do."
        )
    return parts


def _used(snippets: Sequence[Snippet]) -> list[str]:
    parts = ["## How to ask it"]
    for name, language, code in snippets:
        parts.append(f"With {name}:\n\n```{language}\n{code}\n```")
    return parts
