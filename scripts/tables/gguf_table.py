"""Make the tables of llama.cpp in docs/results.md: a run's answers there and here, by how the weights are stored.

    python scripts/tables/gguf_table.py --plain checkpoints/extraction_tiny
        --trained checkpoints/extraction_tiny_qat_q8_0 checkpoints/extraction_tiny_qat_q4_0 --marker gguf

Each run answers rows of its tests here, in float32, and in llama.cpp from files of every type: the plain run's
with weights rounded afterwards, the other's with those that it was trained with. Texts are compared with the run's own,
and scored as ``test`` scores them. What meets weights in blocks llama.cpp rounds too, to blocks of 8 bits: a
file in blocks is answered from here once more with the same done, and those texts are compared with llama.cpp's.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gguf
import torch
from results import write
from torch import Tensor, nn

from lit_llm.commands.export import export
from lit_llm.generation import generate_rows
from lit_llm.llama_cpp import Engine, GgufType, opened
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
            if kind != "F32":
                network = with_rounded_inputs(file, model.language_model.config)
                answers = generate_rows(model.generator, network, model.tokenizer, prompts)
                found.append(scored(f"{name}; inputs too", "lit_llm", [answer.text for answer in answers], rows))
    return found


def with_rounded_inputs(file: Path, config: Any) -> nn.Module:
    """Return the model of a file whose layers in blocks round their inputs as llama.cpp does."""
    model = opened(file, config)
    stored = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(file).tensors}
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, config.num_hidden_layers)
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear):
            own = names.get_name(name) or ""
            # A head that shares the embedding's weight has no tensor of its own.
            kind = stored.get(f"{own}.weight", stored["token_embd.weight"])
            if kind in ("Q8_0", "Q4_0"):
                layer.register_forward_pre_hook(lambda layer, given: (rounded_input(given[0]), *given[1:]))
    return model


def rounded_input(values: Tensor) -> Tensor:
    """Return inputs ``[..., in]`` as blocks of 32 integers of 8 bits with a scale in float16 stand for them."""
    blocks = values.unflatten(-1, (-1, 32))
    scales = blocks.abs().amax(-1, keepdim=True) / 127
    inverse = torch.where(scales > 0, 1 / scales, 0)
    return ((blocks * inverse).round() * scales.half().float()).flatten(-2)


def scored(name: str, where: str, texts: list[str], rows: list[Any]) -> Answers:
    """Return answers with their micro F1."""
    metric = ExtractionMetrics()
    metric.update(texts, [row.example.reference for row in rows], [row.example.meta for row in rows])
    return Answers(name, where, texts, metric.compute()["field_f1"])


def table(systems: dict[str, list[Answers]]) -> str:
    """Return a Markdown table."""
    lines = ["| run | weights | in | texts as the run's own | as llama.cpp's | micro F1 |", "|---|---|---|---|---|---|"]
    for run, (own, *others) in systems.items():
        lines.append(f"| {run} | {own.name} | {own.where} | | | {own.score:.3f} |")
        for before, other in zip([own, *others], others, strict=False):
            # The row before is llama.cpp's answer to the same file.
            theirs = f"{alike(before, other)} of {len(own.texts)}" if other.where == "lit_llm" else ""
            cells = [f"{alike(own, other)} of {len(own.texts)}", theirs, f"{other.score:.3f}"]
            lines.append(f"| {run} | {other.name} | {other.where} | {' | '.join(cells)} |")
    return "\n".join(lines)


def alike(one: Answers, other: Answers) -> int:
    """Return how many texts are equal."""
    return sum(a == b for a, b in zip(one.texts, other.texts, strict=True))


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plain", type=Path, required=True, help="run, such as of configs/run/extraction_tiny.yaml")
    parser.add_argument(
        "--trained",
        type=Path,
        nargs="*",
        default=[],
        help="runs that round, such as of configs/run/extraction_tiny_qat_q4_0.yaml",
    )
    parser.add_argument("--rows", type=int, default=25, help="of each test")
    parser.add_argument("--marker", help="of the table in docs/results.md, such as gguf; else it is printed alone")
    options = parser.parse_args()
    plain: list[tuple[str, GgufType | None]] = [("F32", "F32"), ("Q8_0, rounded", "Q8_0"), ("Q4_0, rounded", "Q4_0")]
    systems = {"unrounded": measured(options.plain, plain, options.rows)}
    for folder in options.trained:
        grid = run_config(folder)["model"]["init_args"]["qat"]["init_args"]["grid"].upper()
        trained: list[tuple[str, GgufType | None]] = [(f"{grid}'s numbers in F32", "F32"), (f"{grid}, trained", None)]
        systems[f"trained on {grid}"] = measured(folder, trained, options.rows)
    print(table(systems))
    if options.marker:
        write(options.marker, table(systems))


if __name__ == "__main__":
    main()
