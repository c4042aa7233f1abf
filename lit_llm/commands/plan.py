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

    model, data, trainer = open_parts(PROG, ["--config", options.plan, *others])
    with silent(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plan = _plan(model, data, trainer)
        needs = plan.memory(options.exact)
        prompts, answers = int(data.max_length), int(getattr(model.generator, "max_new_tokens", 0))
        asked = plan.answering(int(data.eval_batch_size), prompts + answers)
    said = ", gradient checkpointing" if plan.checkpointing else ""
    print(f"{model.backbone}, {type(model.adapter).__name__}, {plan.precision}, {plan.dtype}{said}")
    _show(f"training, batches of {plan.batch} rows of {plan.length} tokens", needs)
    _show(f"answering, batches of {data.eval_batch_size} rows of {prompts} + {answers} tokens", asked)
    return _judge(plan, needs.total, options.gpu) if options.gpu else 0


def _plan(model: Any, data: Any, trainer: dict[str, Any]) -> Plan:
    from lit_llm.models import CausalLM
    from lit_llm.planning import Plan

    if type(model) is not CausalLM:
        raise ConfigError(f"--plan: {type(model).__name__} reads more than text, which is not planned: try a few steps")
    if model.qat:
        raise ConfigError("--plan: quantization-aware training is not planned: try a few steps with model.qat")
    return Plan(
        backbone=model.backbone,
        loading=model.loading,
        adapter=model.adapter,
        optimizer=model.optimizer_factory,
        quantizer=model.quantizer,
        precision=str(trainer.get("precision") or "32-true"),
        checkpointing=model.gradient_checkpointing,
        batch=int(data.batch_size),
        length=int(data.max_length),
        accumulates=int(trainer.get("accumulate_grad_batches") or 1) > 1,
        clips=bool(trainer.get("gradient_clip_val")),
        merges=model.merge,
    )


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
