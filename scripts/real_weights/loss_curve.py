#!/usr/bin/env python3
"""Train the same adapter on the same batches with lit_llm and with TRL, in float32, and compare every step's loss.

    scripts/real_weights/loss_curve.py --trl VENV/bin/python --train FILE

TRL lives in an environment of its own:

    python3 -m venv VENV && VENV/bin/pip install torch transformers peft trl
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from lightning.pytorch import seed_everything

from lit_llm.__main__ import main as lit_llm
from lit_llm.adapters import LoRA
from lit_llm.data import ExtractionData
from lit_llm.models import CausalLM

HERE = Path(__file__).resolve().parent
ADAPTER: dict[str, Any] = {"r": 16, "alpha": 32, "dropout": 0.0, "target_modules": "all-linear"}
RATE, BATCH = 5e-4, 8


def ours(options: argparse.Namespace, folder: Path) -> list[float]:
    """Train with lit_llm as a user would, and return the loss of each step."""
    trainer = {
        "default_root_dir": str(folder / "run"),
        "max_steps": options.steps,
        "accelerator": "cpu",
        "precision": "32-true",
        "logger": False,
        "enable_progress_bar": False,
        "gradient_clip_val": 1.0,
        "log_every_n_steps": 1,
    }
    adamw = {"class_path": "torch.optim.AdamW", "init_args": {"lr": RATE, "weight_decay": 0.0}}
    model = {
        "backbone": options.backbone,
        "adapter": {"class_path": "lit_llm.adapters.LoRA", "init_args": ADAPTER},
        "optimizer": adamw,
        "schedule": {"name": "constant", "warmup": 0},
    }
    run = {
        "seed_everything": options.seed,
        "model": {"class_path": "lit_llm.models.CausalLM", "init_args": model},
        "data": {
            "class_path": "lit_llm.data.ExtractionData",
            "init_args": {"train": options.train, "batch_size": BATCH},
        },
        "trainer": trainer,
    }
    file = folder / "run.yaml"
    file.write_text(json.dumps(run), encoding="utf-8")
    if lit_llm(["fit", "--config", str(file)]) != 0:
        raise SystemExit(1)
    with (folder / "run/metrics.csv").open(newline="") as table:
        return [float(row["value"]) for row in csv.DictReader(table) if row["name"] == "train/loss"]


def theirs(options: argparse.Namespace, folder: Path) -> list[float]:
    """Write the adapter and the batches that lit_llm begins with, train on them with TRL, and return its losses."""
    seed_everything(options.seed)
    model = CausalLM(backbone=options.backbone, adapter=LoRA(**ADAPTER))
    model.configure_model()
    network: Any = model.network
    network.save_pretrained(folder / "adapter")
    data = ExtractionData(train=options.train, batch_size=BATCH)
    data.tokenizer = model.tokenizer
    data.setup("fit")
    rows = []
    for _, batch in zip(range(options.steps), data.train_dataloader(), strict=False):
        for ids, labels, mask in zip(batch.input_ids, batch.labels, batch.attention_mask, strict=True):
            rows.append({"input_ids": ids[mask.bool()].tolist(), "labels": labels[mask.bool()].tolist()})
    (folder / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    settings = {
        "output_dir": str(folder / "trl"),
        "max_steps": options.steps,
        "per_device_train_batch_size": BATCH,
        "learning_rate": RATE,
        "weight_decay": 0.0,
        "lr_scheduler_type": "constant",
        "max_grad_norm": 1.0,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "max_length": None,
        "disable_tqdm": True,
    }
    command = [options.trl, str(HERE / "trl_worker.py"), options.backbone, str(folder / "adapter")]
    # The environment of TRL must not find this one's packages.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [*command, str(folder / "rows.json"), json.dumps(settings)], capture_output=True, text=True, env=environment
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    line = next(line for line in done.stdout.splitlines() if line.startswith("LOSSES "))
    return [float(loss) for loss in json.loads(line.removeprefix("LOSSES "))]


def main() -> None:
    """Train both, print the losses and the largest difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trl", required=True, help="python of the environment that TRL is installed in")
    parser.add_argument("--train", required=True, help="rows of text and JSON")
    parser.add_argument("--backbone", default="checkpoints/smollm2-135m-instruct")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        pairs = list(zip(ours(options, Path(name)), theirs(options, Path(name)), strict=True))
    print("step  lit_llm      TRL  difference")
    for step, (a, b) in enumerate(pairs, start=1):
        print(f"{step:>4}  {a:.5f}  {b:.5f}  {abs(a - b):.1e}")
    print(f"largest difference over {len(pairs)} steps: {max(abs(a - b) for a, b in pairs):.1e}")


if __name__ == "__main__":
    main()
