"""Time training steps of lit_llm against TRL's, in turns: same base, rows, LoRA, optimizer and batch size.

    python3 -m venv VENV && VENV/bin/pip install torch transformers peft trl
    python scripts/benchmarks/step.py --trl VENV/bin/python --precision 32-true bf16-mixed

Each side is a process of its own in every round. TRL runs as it is by default, with rows grouped by length, and on the
very batches of lit_llm; of the latter the losses of the first steps are compared too. ``--also CHECKOUT`` times another
checkout of lit_llm beside this one, in float32; ``--switches packed compiled`` times ways to carry out the same step
beside the plain one, and compares their losses. Printed are medians over rounds of each round's median step, their
ratios, and the peak of resident memory above that of the loaded model. ``--backbone`` names a base of one's own.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bases import add_shape, overrides

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WORDS = "casa agua maíz pueblo camino noche fuego piedra flor pájaro cerro lluvia dos tres diez rojo verde con sin para"

SWITCHES: dict[str, dict[str, dict[str, Any]]] = {
    "packed": {"data": {"packing": True}},
    "half checkpointed": {"model": {"gradient_checkpointing": 0.5}},
    "selective": {"model": {"gradient_checkpointing": "selective"}},
    "checkpointed": {"model": {"gradient_checkpointing": True}},
    "compiled": {"model": {"compile": True}},
}
"""Ways to carry out the same step, by what they change."""


def prepare(folder: Path, options: argparse.Namespace) -> None:
    """Write base, rows, the adapter before its first step, and the batches that lit_llm meets."""
    import torch
    from lightning.pytorch import seed_everything

    from lit_llm.adapters import LoRA
    from lit_llm.data import ExtractionData
    from lit_llm.models import CausalLM, Loading

    seed_everything(0, verbose=False)
    base = Path(options.backbone) if options.backbone else folder / "base"
    if not options.backbone:
        made = CausalLM(adapter=LoRA(), loading=Loading(random_init=True, config_overrides=overrides(options)))
        made.configure_model()
        made.merge_adapter().save_pretrained(base)
        made.tokenizer.save_pretrained(base)
    draw, words = random.Random(0), WORDS.split()
    count = options.steps * options.batch
    with (folder / "rows.jsonl").open("w", encoding="utf-8") as file:
        for _ in range(count):
            text = " ".join(draw.choices(words, k=draw.randint(options.words // 4, options.words)))
            answer = {draw.choice(words): draw.choice(words) for _ in range(4)}
            file.write(json.dumps({"text": text, "json": answer}, ensure_ascii=False) + "\n")
    settings = {"backbone": str(base), "r": options.r, "dropout": options.dropout, "batch": options.batch}
    settings |= {"steps": options.steps, "vocabulary": options.vocabulary}
    model = CausalLM(backbone=str(base), adapter=LoRA(r=options.r, alpha=2 * options.r, dropout=options.dropout))
    model.configure_model()
    torch.manual_seed(0)
    network: Any = model.network
    network.save_pretrained(folder / "adapter")
    data = ExtractionData(train=str(folder / "rows.jsonl"), batch_size=options.batch, max_length=4096)
    data.tokenizer = model.tokenizer
    data.setup("fit")
    batches = []
    for batch in data.train_dataloader():
        rows = zip(batch.input_ids, batch.labels, batch.attention_mask, strict=True)
        batches.append([(ids[m.bool()].tolist(), labels[m.bool()].tolist()) for ids, labels, m in rows])
    (folder / "batches.json").write_text(json.dumps(batches), encoding="utf-8")
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    widths = [len(ids) for batch in batches for ids, _ in batch]
    print(f"rows of {min(widths)} to {max(widths)} tokens, {statistics.mean(widths):.0f} in the mean", flush=True)


def run(python: str, script: str, folder: Path, arguments: list[str], path: str, threads: int) -> dict[str, Any]:
    """Return what a worker prints last, as JSON."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"OMP_NUM_THREADS": str(threads)} | ({"PYTHONPATH": path} if path else {})
    done = subprocess.run(
        [python, str(HERE / script), str(folder), *arguments], capture_output=True, text=True, env=environment
    )
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure in turns and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trl", help="python of the environment that TRL is installed in")
    parser.add_argument("--also", type=Path, help="another checkout of lit_llm")
    parser.add_argument("--precision", nargs="+", default=["32-true"], choices=["32-true", "bf16-mixed"])
    parser.add_argument("--sides", nargs="+", default=["default", "grouped", "same"], help="ways to run TRL")
    parser.add_argument("--switches", nargs="+", default=[], choices=list(SWITCHES), help="ways to carry out a step")
    add_shape(parser)
    parser.add_argument("--r", type=int, default=16)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--words", type=int, default=40, help="of the longest text")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if options.steps < 3:
        parser.error(f"--steps: {options.steps} are too few: the first two of 3 or more are left out")
    sides: dict[str, tuple[str, str, list[str], str]] = {}
    for precision in options.precision:
        sides[f"lit_llm {precision}"] = (sys.executable, "step_ours.py", [precision], str(ROOT))
        for switch in options.switches:
            given = [precision, json.dumps(SWITCHES[switch])]
            sides[f"lit_llm {precision} {switch}"] = (sys.executable, "step_ours.py", given, str(ROOT))
        for way in options.sides if options.trl else []:
            sides[f"TRL {precision} {way}"] = (options.trl, "step_trl.py", [precision, way], "")
    if options.also:
        sides["other lit_llm 32-true"] = (sys.executable, "step_ours.py", ["32-true"], str(options.also))
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name), options)
        for number in range(options.rounds):
            for side, (python, script, arguments, path) in sides.items():
                found[side].append(run(python, script, Path(name), arguments, path, options.threads))
                print(f"round {number + 1}: {side}: {_step(found[side][-1]):.3f} s a step", flush=True)
    ours = f"lit_llm {options.precision[0]}"
    for side, results in found.items():
        steps = [_step(one) for one in results]
        line = f"{side:<28} {statistics.median(steps):7.3f} s a step ({min(steps):.3f} to {max(steps):.3f})"
        print(
            f"{line}, peak {statistics.median(one['peak'] for one in results) / 2**20:6.0f} MiB above the loaded model"
        )
    for precision in options.precision:
        ours = f"lit_llm {precision}"
        for side in found:
            ratios = [_step(b) / _step(a) for a, b in zip(found[ours], found[side], strict=True)]
            peak = statistics.median(a["peak"] / b["peak"] for a, b in zip(found[ours], found[side], strict=True))
            if side != ours:
                print(f"{side} / {ours}: {statistics.median(ratios):.2f}× the time; its peak is 1/{peak:.2f}")
        for side in (f"TRL {precision} same", *(f"lit_llm {precision} {switch}" for switch in options.switches)):
            if side in found:
                pairs = zip(found[ours][0]["losses"], found[side][0]["losses"], strict=False)
                most = max(abs(a - b) for a, b in pairs)
                print(f"{side}: losses of the same batches differ by {most:.1e} at most from those of {ours}")


def _step(result: dict[str, Any]) -> float:
    """Return the median of a process's steps, the first two left out."""
    return statistics.median(result["seconds"][2:])


if __name__ == "__main__":
    main()
