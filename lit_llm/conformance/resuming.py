"""A run that is stopped and resumed, against one that is not."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import torch
from torch import Tensor

from lit_llm.adapters import LoRA
from lit_llm.callbacks import RunCheckpoint
from lit_llm.conformance.bench import ROWS, Bench
from lit_llm.conformance.findings import WrongError
from lit_llm.data import ExtractionData
from lit_llm.generation import Generator
from lit_llm.models import CausalLM
from lit_llm.models.schedule import Schedule
from lit_llm.quiet import silent

STEPS, STOPPED, SEED = 5, 2, 7
"""Four steps are an epoch."""


def resume(bench: Bench) -> str:
    """Train, validate and answer in one go, and again stopped in the middle of an epoch and resumed."""
    rows = bench.place / "rows.jsonl"
    lines = [json.dumps({"text": text, "json": json.loads(answer)}) for text, answer in ROWS]
    rows.write_text("\n".join(lines * 2), encoding="utf-8")
    wanted = _trained(bench, rows, "whole", STEPS)
    _trained(bench, rows, "stopped", STOPPED)
    found = _trained(bench, rows, "stopped", STEPS, bench.place / "stopped" / "last.ckpt")
    wrong = [name for name, weight in wanted.items() if not torch.equal(weight, found[name])]
    if wrong:
        farthest = max(float((found[name] - wanted[name]).abs().max()) for name in wrong)
        raise WrongError(f"{len(wrong)} of {len(wanted)} weights differ after a resume, by {farthest:.1e} at most")
    return "a resumed run ends with the weights of one that was not stopped, to the bit"


def _trained(bench: Bench, rows: Path, name: str, steps: int, start: Path | None = None) -> dict[str, Tensor]:
    from lightning.pytorch import Trainer, seed_everything

    with silent(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seed_everything(SEED, verbose=False)
        generator = Generator(max_new_tokens=4)
        settings = {"schedule": Schedule("constant", warmup=0), "generator": generator}
        module = bench.trainable(adapter=LoRA(r=2, dropout=0.1), **settings)
        trainer = Trainer(
            default_root_dir=bench.place / name,
            max_steps=steps,
            accelerator="cpu",
            logger=False,
            callbacks=[RunCheckpoint()],
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        data = ExtractionData(train=str(rows), valid=str(rows), batch_size=2, eval_batch_size=8)
        trainer.fit(module, data, ckpt_path=start, weights_only=False)
    return _weights(module)


def _weights(module: CausalLM) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in module.named_parameters() if weight.requires_grad}
