"""Time the engine against transformers' generate, one row at a time and batched, on the same rows, in turns.

python scripts/benchmarks/inference.py --run checkpoints/extraction_tiny
python scripts/benchmarks/inference.py --backbone checkpoints/qwen3-tiny --data configs/data/orders/test_known.jsonl

All variants use the same merged weights, precision, threads, token limit and stop rule (end token, or the close of the
top-level JSON value). Exit status 1 if their texts differ, or if a constrained answer is not valid.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lit_llm.generation import Generation, Generator, JsonSchemaConstraint, Stop, generate_rows
from lit_llm.generation.prompts import left_pad
from lit_llm.quiet import quiet

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from lit_llm.data import LMData

Variant = Callable[[list["Row"]], list[str]]


@dataclass
class Row:
    """A prompt and what is expected of it."""

    prompt: list[int]
    reference: Any
    schema: Any


@dataclass
class Loaded:
    """A model with merged weights, its tokenizer and the rows to answer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    rows: list[Row]


def load(arguments: argparse.Namespace) -> Loaded:
    """Open a run (its best weights, merged, and its test rows), or a base with a file."""
    from lit_llm.data import ExtractionData

    if arguments.run:
        from lit_llm.report import open_run

        run = open_run(arguments.run)
        model, tokenizer, data = run.model.adapter.merge(run.model.network), run.model.tokenizer, run.data
    else:
        from lit_llm.models.backbone import Loading, open_model, open_tokenizer

        model = open_model(arguments.backbone, Loading(), torch.float32)
        tokenizer = open_tokenizer(arguments.backbone, Loading())
        data = ExtractionData(test={"rows": arguments.data}, schema=arguments.schema)
        data.tokenizer = tokenizer
    device = "cuda" if torch.cuda.is_available() and not arguments.cpu else "cpu"
    return Loaded(model.eval().to(device), tokenizer, test_rows(data, arguments.rows))


def test_rows(data: LMData, most: int) -> list[Row]:
    """Return rows of all test files, spread evenly and in the order of the files."""
    data.setup("test")
    pairs = [(row.encoded, row.example) for name in data.test_files for row in data.splits[name].rows if row.example]
    step = max(1, len(pairs) // most)
    chosen = pairs[::step][:most]
    return [Row(encoded.prompt_ids, example.reference, example.meta.get("schema")) for encoded, example in chosen]


def transformers_own(loaded: Loaded, steps: int, batch_size: int) -> Variant:
    """The baseline: transformers' own ``generate`` with its key-value cache, row by row or in batches by length."""
    model, tokenizer = loaded.model, loaded.tokenizer
    stop = Stop(tokenizer, "json")

    def answer(rows: list[Row]) -> list[str]:
        order = sorted(range(len(rows)), key=lambda place: -len(rows[place].prompt))
        texts: dict[int, str] = {}
        for start in range(0, len(rows), batch_size):
            places = order[start : start + batch_size]
            prompt = left_pad([rows[place].prompt for place in places], tokenizer.pad_token_id).to(model.device)
            stop.prompt_length = prompt.attention_mask.shape[1]
            with torch.inference_mode():
                output = model.generate(
                    input_ids=prompt.input_ids,
                    attention_mask=prompt.attention_mask,
                    max_new_tokens=steps,
                    do_sample=False,
                    use_cache=True,
                    eos_token_id=stop.end_ids,
                    pad_token_id=tokenizer.pad_token_id,
                    stopping_criteria=[stop],
                )
            for place, ids in zip(places, output[:, stop.prompt_length :], strict=True):
                texts[place] = str(tokenizer.decode(ids, skip_special_tokens=True))
        return [texts[place] for place in range(len(rows))]

    return answer


def engine(loaded: Loaded, steps: int, batch_size: int, sort: bool) -> Variant:
    """The package's own way, with batches in the order of the rows or by length."""
    generator = Generator(max_new_tokens=steps, stop="json")

    def answer(rows: list[Row]) -> list[str]:
        prompts = [row.prompt for row in rows]
        done = generate_rows(generator, loaded.model, loaded.tokenizer, prompts, batch_size=batch_size, sort=sort)
        return [one.text for one in done]

    return answer


class Peak:
    """Measures how far memory rises above where it stood: of the GPU, or the resident set, sampled every 2 ms."""

    def __init__(self, device: torch.device) -> None:
        self.cuda = device.type == "cuda"

    def __enter__(self) -> Peak:
        gc.collect()
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
            self.start = torch.cuda.memory_allocated()
            return self
        if sys.platform == "linux":
            # Otherwise pages that the allocator kept from the variant before would hide this one's need.
            ctypes.CDLL(None).malloc_trim(0)
        self.start = self.most = resident()
        self.running = True
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.cuda:
            self.most = torch.cuda.max_memory_allocated()
            return
        self.running = False
        self.thread.join()

    @property
    def mebibytes(self) -> float:
        """The rise."""
        return (self.most - self.start) / 2**20

    def _watch(self) -> None:
        while self.running:
            self.most = max(self.most, resident())
            time.sleep(0.002)


def resident() -> int:
    """Return the bytes of this process that lie in memory (Linux)."""
    import resource

    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@dataclass
class Timing:
    """What was measured of one variant."""

    texts: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    peak: float = 0.0


def compare(variants: dict[str, Variant], rows: list[Row], rounds: int, device: torch.device) -> dict[str, Timing]:
    """Run every variant on every row, in turns; each is warmed up first."""
    results = {name: Timing() for name in variants}
    for answer in variants.values():
        answer(rows[:2])
    for _ in range(rounds):
        for name, answer in variants.items():
            with Peak(device) as peak:
                start = time.perf_counter()
                texts = answer(rows)
                results[name].seconds.append(time.perf_counter() - start)
            results[name].peak = max(results[name].peak, peak.mebibytes)
            results[name].texts = texts
            print(f"  {name}: {results[name].seconds[-1]:.1f} s", flush=True)
    return results


def show(results: dict[str, Timing], rows: list[Row]) -> bool:
    """Print the table; return whether all texts are the same."""
    first, *others = results.values()
    reference = statistics.median(first.seconds)
    print(f"\n{'variant':<34}{'rows/s':>9}{'ratio':>8}{'peak MiB':>10}{'same texts':>12}")
    for name, timing in results.items():
        seconds = statistics.median(timing.seconds)
        same = sum(a == b for a, b in zip(first.texts, timing.texts, strict=True))
        ratio, counted = f"{reference / seconds:.2f}×", f"{same}/{len(rows)}"
        print(f"{name:<34}{len(rows) / seconds:>9.1f}{ratio:>8}{timing.peak:>10.1f}{counted:>12}")
    return all(timing.texts == first.texts for timing in others)


def row_schema(schema: Any, place: int) -> Any:
    """Return a closed copy of a schema whose limits depend on the row's place, and on nothing in its reference."""
    if isinstance(schema, list):
        return [row_schema(item, place) for item in schema]
    if not isinstance(schema, dict):
        return schema
    wider = {key: row_schema(value, place) for key, value in schema.items()}
    for key in ("maxLength", "maximum"):
        if isinstance(schema.get(key), int):
            wider[key] = schema[key] + place
    if schema.get("type") == "object" and "properties" in schema:
        wider.setdefault("additionalProperties", False)
    return wider


def constrained(loaded: Loaded, steps: int, batch_size: int, free: list[str]) -> bool:
    """Decode again, every row held to a schema of its own; return whether all are valid and F1 is not below free."""
    from lit_llm.schemas import first_fault

    rows = loaded.rows
    meta = [{"schema": row_schema(row.schema, place)} for place, row in enumerate(rows)]
    distinct = len({json.dumps(one["schema"]) for one in meta})
    generator = Generator(max_new_tokens=steps, stop="json", constraint=JsonSchemaConstraint())
    prompts = [row.prompt for row in rows]
    start = time.perf_counter()
    answers = generate_rows(generator, loaded.model, loaded.tokenizer, prompts, meta, batch_size)
    seconds = time.perf_counter() - start

    def valid(text: str, schema: Any) -> bool:
        try:
            return first_fault(json.loads(text), schema) is None
        except ValueError:
            return False

    def share(texts: list[str], done: list[bool]) -> float:
        judged = zip(texts, done, meta, strict=True)
        return sum(ended and valid(text, one["schema"]) for text, ended, one in judged) / len(rows)

    held_valid = share([one.text for one in answers], [one.finished for one in answers])
    free_valid = share(free, [True] * len(free))
    held_f1, free_f1 = field_f1(answered(answers), rows), field_f1(free, rows)
    print(f"\nconstrained, {distinct} different schemas over {len(rows)} rows: {len(rows) / seconds:.1f} rows/s")
    print(f"schema-valid (a row cut by the token limit is not): {held_valid:.2%}, free {free_valid:.2%}")
    print(f"micro F1: {held_f1:.4f}, free {free_f1:.4f}; cut by the limit: {sum(not a.finished for a in answers)}")
    return held_valid == 1.0 and held_f1 >= free_f1


def answered(answers: list[Generation]) -> list[str]:
    """Return the texts; an unfinished one counts as no answer."""
    return [answer.text if answer.finished else "" for answer in answers]


def field_f1(texts: list[str], rows: list[Row]) -> float:
    """Return the micro F1 over fields."""
    from lit_llm.metrics import ExtractionMetrics

    metric = ExtractionMetrics()
    metric.update(texts, [row.reference for row in rows], [{} for _ in rows])
    return metric.compute()["field_f1"]


def options(doc: str | None, rows: int, rounds: int, threads: int) -> argparse.ArgumentParser:
    """Return a parser with what every benchmark of answers asks for: a run or a base, its rows, and how often.

    Args:
        doc: what the script does.
        rows: the most, by default.
        rounds: by default.
        threads: of torch, by default.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", help="run folder; its best weights answer its test files")
    source.add_argument("--backbone", help="model folder or hub id, together with --data")
    parser.add_argument("--data", help="JSONL file with text and json")
    parser.add_argument("--schema", help="JSON schema file of --data")
    parser.add_argument("--rows", type=int, default=rows, help=f"most rows (default {rows})")
    parser.add_argument("--rounds", type=int, default=rounds, help=f"times that all sides run (default {rounds})")
    parser.add_argument("--threads", type=int, default=threads, help=f"threads of torch (default {threads})")
    parser.add_argument("--cpu", action="store_true", help="stay on the CPU where there is a GPU")
    return parser


def begin(parser: argparse.ArgumentParser) -> tuple[argparse.Namespace, Loaded]:
    """Read the options, and open what they name."""
    arguments = parser.parse_args()
    if arguments.backbone and not arguments.data:
        parser.error("--backbone needs --data")
    quiet()
    torch.set_num_threads(arguments.threads)
    return arguments, load(arguments)


def main() -> int:
    """Measure and print."""
    parser = options(__doc__, rows=200, rounds=2, threads=2)
    parser.add_argument("--batch-size", type=int, default=64, help="rows decoded together (default 64)")
    parser.add_argument("--max-new-tokens", type=int, default=256, help="longest answer (default 256)")
    arguments, loaded = begin(parser)
    steps, size, device = arguments.max_new_tokens, arguments.batch_size, loaded.model.device
    count = sum(weight.numel() for weight in loaded.model.parameters())
    print(
        f"{count:,} parameters, {loaded.model.dtype}, {device.type}, {torch.get_num_threads()} threads, "
        f"{len(loaded.rows)} rows"
    )
    variants = {
        "transformers, one row at a time": transformers_own(loaded, steps, 1),
        f"transformers, batches of {size}": transformers_own(loaded, steps, size),
        f"engine, batches of {size}, unsorted": engine(loaded, steps, size, sort=False),
        f"engine, batches of {size}": engine(loaded, steps, size, sort=True),
    }
    results = compare(variants, loaded.rows, arguments.rounds, device)
    same = show(results, loaded.rows)
    if any(row.schema is None for row in loaded.rows):
        print("\nno schema is named, so constrained decoding is left out")
        return 0 if same else 1
    held = constrained(loaded, steps, size, list(results.values())[-1].texts)
    return 0 if same and held else 1


if __name__ == "__main__":
    sys.exit(main())
