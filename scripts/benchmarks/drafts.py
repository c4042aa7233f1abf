"""Time answers with and without guessed tokens, on the same rows, in one process, in turns.

python scripts/benchmarks/drafts.py --run checkpoints/extraction_tiny

Prints for each batch size how much sooner the rows are answered, and how many tokens a row gains in a step. Then the
same rows are answered with a guess that is always wrong, limits that cut an answer short, sampling, and a schema per
row: exit status 1 if any text differs from the one without guesses.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

import torch
from inference import Loaded, begin, options, row_schema

from lit_llm.batch import Prompt, as_text
from lit_llm.data.records.reading import Column, read_records
from lit_llm.generation import Draft, Generation, Generator, JsonSchemaConstraint, Lookup, generate_rows

ANSWERS = {"json": Column("json", kind="json")}


class Wrong(Draft):
    """Guesses so many tokens, and never the right ones."""

    pays = True

    def start(self, prompt: Prompt) -> Any:
        """Return what guesses the id 0, which ends an answer or is no text."""
        return lambda rows, texts, counts: [[0] * count for count in counts]


class Steps:
    """Counts how many steps rows take: a call of the model counts once for each of its rows."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.count = 0
        self.handle = model.register_forward_pre_hook(self._note, with_kwargs=True)

    def _note(self, module: torch.nn.Module, args: Any, kwargs: Any) -> None:
        self.count += len(kwargs["input_ids"])


def answers(loaded: Loaded, size: int, meta: list[dict[str, Any]] | None = None, **settings: Any) -> list[Generation]:
    """Answer all rows."""
    prompts = [row.prompt for row in loaded.rows]
    return generate_rows(Generator(**settings), loaded.model, loaded.tokenizer, prompts, meta, size)


def taught(loaded: Loaded, tokens: int, learned: list[str]) -> Lookup:
    """Return guesses that know these answers; without any they learn from the rows that are answered alone."""
    draft = Lookup(tokens=tokens)
    end = loaded.tokenizer.eos_token_id
    for answer in learned:
        draft.learn([*loaded.tokenizer(answer, add_special_tokens=False)["input_ids"], end])
    return draft


def compared(loaded: Loaded, sizes: list[int], tokens: int, rounds: int, steps: Steps, learned: list[str]) -> bool:
    """Print what guesses gain by batch size; return whether the texts are the same."""
    same = True
    print(f"\n{'batch':>6}{'none s':>9}{'guesses s':>11}{'ratio':>8}{'tokens/step':>13}{'same texts':>14}")
    plain: dict[str, Any] = {"max_new_tokens": 256, "stop": "json"}
    for size in sizes:
        seconds: dict[bool, list[float]] = {False: [], True: []}
        found: dict[bool, list[Generation]] = {}
        for _ in range(rounds):
            for guesses in (False, True):
                start = time.perf_counter()
                steps.count = 0
                draft = taught(loaded, tokens, learned) if guesses else None
                found[guesses] = answers(loaded, size, draft=draft, **plain)
                seconds[guesses].append(time.perf_counter() - start)
        written = sum(answer.new_tokens for answer in found[True])
        equal = sum(a.text == b.text for a, b in zip(found[False], found[True], strict=True))
        none, with_guesses = (statistics.median(seconds[guesses]) for guesses in (False, True))
        ratios = [a / b for a, b in zip(seconds[False], seconds[True], strict=True)]
        print(
            f"{size:>6}{none:>9.1f}{with_guesses:>11.1f}{statistics.median(ratios):>7.2f}×"
            f"{written / steps.count:>13.2f}{f'{equal} of {len(loaded.rows)}':>14}",
            flush=True,
        )
        same &= equal == len(loaded.rows)
    return same


def exact(loaded: Loaded, sizes: list[int], tokens: int) -> bool:
    """Answer in other ways with and without guesses; print and return whether the texts are the same."""
    meta = [{"schema": row_schema(row.schema, place)} for place, row in enumerate(loaded.rows)]
    plain: dict[str, Any] = {"max_new_tokens": 256, "stop": "json"}
    ways: dict[str, tuple[dict[str, Any], Any, Any]] = {
        "always wrong": (plain, None, lambda: Wrong(tokens, positions=1000)),
        "at most 23 tokens": (plain | {"max_new_tokens": 23}, None, lambda: Lookup(tokens)),
        "drawn": (plain | {"do_sample": True, "temperature": 1.2, "seed": 1}, None, lambda: Lookup(tokens)),
        "a penalty for repeating": (plain | {"repetition_penalty": 1.1}, None, lambda: Lookup(tokens)),
    }
    if all(row.schema is not None for row in loaded.rows):
        ways["a schema per row"] = (plain | {"constraint": JsonSchemaConstraint()}, meta, lambda: Lookup(tokens))
    same = True
    for name, (settings, facts, draft) in ways.items():
        without = answers(loaded, sizes[-1], facts, **settings)
        for size in sizes:
            found = answers(loaded, size, facts, **settings, draft=draft())
            equal = sum(a.text == b.text for a, b in zip(without, found, strict=True))
            print(f"{name}, batches of {size}: {equal} of {len(found)} texts the same", flush=True)
            same &= equal == len(found)
    return same


def main() -> int:
    """Measure and print."""
    parser = options(__doc__, rows=800, rounds=3, threads=1)
    parser.add_argument("--learn", help="JSONL file of training rows, whose answers guesses are learned from first")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 8, 64], help="default 1 8 64")
    parser.add_argument("--tokens", type=int, default=8, help="guessed at a time, at most (default 8)")
    parser.add_argument("--exact", action="store_true", help="answer in the other ways too")
    arguments, loaded = begin(parser)
    steps = Steps(loaded.model)
    device = loaded.model.device.type
    print(f"{loaded.model.dtype}, {device}, {torch.get_num_threads()} threads, {len(loaded.rows)} rows")
    learned = (
        [as_text(record.values["json"]) for record in read_records(arguments.learn, ANSWERS)] if arguments.learn else []
    )
    same = compared(loaded, arguments.batch_sizes, arguments.tokens, arguments.rounds, steps, learned)
    if arguments.exact:
        same &= exact(loaded, arguments.batch_sizes, arguments.tokens)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
