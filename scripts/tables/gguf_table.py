"""Make the tables of llama.cpp in docs/results.md: a run's answers there and here, by how the weights are stored.

    python scripts/tables/gguf_table.py --plain checkpoints/extraction_tiny
        --trained checkpoints/extraction_tiny_qat_q4_0 --marker gguf

Each run answers rows of its tests here, in float32, and in llama.cpp from files of every type: the plain run's
with weights rounded afterwards, the other's with those that it was trained with. Texts are compared with the run's own,
and scored as ``test`` scores them.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from results import write

from lit_llm.commands.export import export
from lit_llm.generation import generate_rows
from lit_llm.llama_cpp import Engine, GgufType
from lit_llm.metrics import ExtractionMetrics
from lit_llm.report import open_run
from lit_llm.report.runs import run_config


class Answers(NamedTuple):
    """What was measured of one way to store one run.

    Attributes:
        name: of the way.
        where: lit_llm or llama.cpp.
        texts: by row.
        score: micro F1.
    """

    name: str
    where: str
    texts: list[str]
    score: float


def measured(folder: Path, kinds: Sequence[tuple[str, GgufType | None]], count: int) -> list[Answers]:
    """Return the answers of a run here, and from a file of each kind.

    Args:
        folder: the run.
        kinds: names of the ways to store it, and their types.
        count: rows of each test file.
    """
    run = open_run(folder)
    model: Any = run.model
    limit = model.generator.max_new_tokens
    run.data.setup("test")
    rows = [row for split in run.data.splits.values() for row in split.rows[:count]]
    prompts = [list(row.encoded.prompt_ids) for row in rows]
    own = generate_rows(model.generator, model.network, model.tokenizer, prompts)
    found = [scored("as it is", "lit_llm", [answer.text for answer in own], rows)]
    for name, kind in kinds:
        with tempfile.TemporaryDirectory() as temporary:
            file = Path(temporary) / "model.gguf"
            print(f"{folder.name}, {name}: {export(folder, file, gguf=True, kind=kind)}", flush=True)
            with Engine(file, max(map(len, prompts)) + limit) as engine:
                written = [engine.write(prompt, limit) for prompt in prompts]
        texts = [model.tokenizer.decode(tokens, skip_special_tokens=True) for tokens in written]
        found.append(scored(name, "llama.cpp", texts, rows))
    return found


def scored(name: str, where: str, texts: list[str], rows: list[Any]) -> Answers:
    """Return answers with their micro F1."""
    metric = ExtractionMetrics()
    metric.update(texts, [row.example.reference for row in rows], [row.example.meta for row in rows])
    return Answers(name, where, texts, metric.compute()["field_f1"])


def table(systems: dict[str, list[Answers]]) -> str:
    """Return a Markdown table."""
    lines = ["| run | weights | in | texts as the run's own | micro F1 |", "|---|---|---|---|---|"]
    for run, (own, *others) in systems.items():
        lines.append(f"| {run} | {own.name} | {own.where} | | {own.score:.3f} |")
        for other in others:
            equal = sum(a == b for a, b in zip(own.texts, other.texts, strict=True))
            lines.append(f"| {run} | {other.name} | {other.where} | {equal} of {len(own.texts)} | {other.score:.3f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plain", type=Path, required=True, help="run, such as of configs/run/extraction_tiny.yaml")
    parser.add_argument("--trained", type=Path, help="run that rounds, as configs/run/extraction_tiny_qat_q4_0.yaml")
    parser.add_argument("--rows", type=int, default=25, help="of each test")
    parser.add_argument("--marker", help="of the table in docs/results.md, such as gguf; else it is printed alone")
    options = parser.parse_args()
    plain: list[tuple[str, GgufType | None]] = [("F32", "F32"), ("Q8_0, rounded", "Q8_0"), ("Q4_0, rounded", "Q4_0")]
    systems = {"unrounded": measured(options.plain, plain, options.rows)}
    if options.trained:
        grid = run_config(options.trained)["model"]["init_args"]["qat"]["init_args"]["grid"].upper()
        trained: list[tuple[str, GgufType | None]] = [(f"{grid}'s numbers in F32", "F32"), (f"{grid}, trained", None)]
        systems[f"trained on {grid}"] = measured(options.trained, trained, options.rows)
    print(table(systems))
    if options.marker:
        write(options.marker, table(systems))


if __name__ == "__main__":
    main()
