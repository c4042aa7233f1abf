"""``python -m lit_llm check --plan``: the memory that a run will take, before it takes it."""

from __future__ import annotations

import argparse
import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lit_llm.errors import ConfigError
from lit_llm.quiet import silent

if TYPE_CHECKING:
    from lit_llm.planning import Plan

GIB = 2**30
UNITS = {"": GIB, "G": GIB, "GiB": GIB, "GB": 10**9, "MiB": 2**20, "MB": 10**6}
PRECISIONS = ("32-true", "bf16-true", "16-true", "bf16-mixed", "16-mixed", "64-true")
PROG = "python -m lit_llm check"


def main(argv: Sequence[str] | None = None) -> int:
    """Print what training and answering need.

    Args:
        argv: the options; by default those of the process.

    Returns:
        0, or 1 if ``--gpu`` has less than the training needs.
    """
    parser = argparse.ArgumentParser(
        prog=PROG, description="What a run file needs in memory. Further options are those of `fit`."
    )
    parser.add_argument("--plan", required=True, help="run file")
    parser.add_argument("--gpu", type=_bytes, help="memory of the GPU, such as 16GiB")
    parser.add_argument("--exact", action="store_true", help="trace all layers, not two small networks")
    options, others = parser.parse_known_args(argv)

    from lit_llm.arguments import open_parts

    parts = open_parts(PROG, ["--config", options.plan, *others])
    model: Any = parts[0]
    data, trainer = parts[1:]
    with silent(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plan = _plan(model, data, trainer)
        needs = plan.memory(options.exact)
        rows, length = _answered(data), plan.length
        answers, beams = int(model.generator.max_new_tokens), int(model.generator.num_beams)
        asked = plan.answering(rows * beams, length + answers)
    said = ", gradient checkpointing" if plan.checkpointing else ""
    print(f"{model.backbone}, {type(model.adapter).__name__}, {plan.precision}, {plan.dtype}{said}")
    _show(f"training, batches of {plan.batch} rows of {plan.length} tokens", needs)
    searched = f", {beams} beams" if beams > 1 else ""
    _show(f"answering, batches of {rows} rows of {length} + {answers} tokens{searched}", asked)
    return _judge(plan, needs.total, options.gpu) if options.gpu else 0


def _plan(model: Any, data: Any, trainer: dict[str, Any]) -> Plan:
    from lit_llm.models import CausalLM
    from lit_llm.planning import Plan

    if type(model) is not CausalLM:
        raise ConfigError(f"--plan: {type(model).__name__} reads more than text, which is not planned: try a few steps")
    if model.qat:
        raise ConfigError("--plan: quantization-aware training is not planned: try a few steps with model.qat")
    precision = str(trainer.get("precision") or "32-true")
    precision = {"bf16": "bf16-mixed", "16": "16-mixed", "32": "32-true", "64": "64-true"}.get(precision, precision)
    if precision not in PRECISIONS:
        raise ConfigError(f"--plan: trainer.precision {precision} is not planned: use one of {', '.join(PRECISIONS)}")
    strategy = trainer.get("strategy") or "auto"
    if not isinstance(strategy, str) or any(name in strategy for name in ("fsdp", "deepspeed")):
        raise ConfigError("--plan: a trainer.strategy that shares weights out is not planned: plan for one device")
    parts = _parts(data)
    length = max(int(part.max_length) for part in parts)
    most = [tokens for part in (data, *parts) if (tokens := getattr(part, "max_batch_tokens", None))]
    return Plan(
        backbone=model.backbone,
        loading=model.loading,
        adapter=model.adapter,
        optimizer=model.optimizer_factory,
        quantizer=model.quantizer,
        precision=precision,
        checkpointing=model.gradient_checkpointing,
        batch=min([int(data.batch_size), *(max(1, tokens // length) for tokens in most)]),
        length=length,
        accumulates=int(trainer.get("accumulate_grad_batches") or 1),
        clips=bool(trainer.get("gradient_clip_val")),
        merges=model.merge,
    )


def _parts(data: Any) -> list[Any]:
    """Return the sources of a mixture, or the one there is."""
    return [inner for part in data.parts.values() for inner in _parts(part)] if hasattr(data, "parts") else [data]


def _answered(data: Any) -> int:
    """Return how many rows are answered at a time."""
    return max(int(part.eval_batch_size) for part in _parts(data))


def _judge(plan: Plan, needs: float, room: int) -> int:
    """Say whether a training fits, what would, and what would help; return the exit status."""
    from lit_llm.planning import changes, largest
    from lit_llm.planning.memory import FULL, TIGHT

    share = needs / room
    verdict = "fits" if share <= TIGHT else "fits tightly" if share <= FULL else "does not fit"
    print(f"{needs / GIB:.2f} GiB of {room / GIB:.2f} GiB: the training {verdict}")
    with silent(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for checkpointing in (False, True):
            other = plan.changed(checkpointing=checkpointing)
            rows, tokens = largest(other, room, "batch"), largest(other, room, "length")
            most = [f"{rows:,} rows of {plan.length:,} tokens"] if rows else []
            most += [f"{plan.batch:,} rows of {tokens:,} tokens"] if tokens else []
            how = "with" if checkpointing else "without"
            print(f"{how} gradient checkpointing: {'at most ' if most else ''}{' or '.join(most) or 'not one row'}")
        helps = changes(plan) if share > TIGHT else []
    for change in helps:
        fits = "fits" if change.needs <= TIGHT * room else "is not enough"
        print(f"  {change.setting}: {change.needs / GIB:.2f} GiB, {fits}")
    return int(share > FULL)


def _show(title: str, needs: Any) -> None:
    from rich.console import Console

    from lit_llm.terminal import show

    rows = [[name, f"{value / GIB:.2f}"] for name, value in vars(needs).items()]
    rows.append(["total", f"{needs.total / GIB:.2f}"])
    show(Console(), ["", "GiB"], rows, title=title, sections=[len(rows) - 1])


def _bytes(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", text.strip())
    if not found or found[2] not in UNITS or not float(found[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is no size: write 16GiB, 24GB or 500MiB")
    return int(float(found[1]) * UNITS[found[2]])
