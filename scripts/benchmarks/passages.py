"""Time a training step and an answer from passages as vectors beside those from their text, in turns.

    python scripts/benchmarks/passages.py --backbone checkpoints/smollm2-135m-instruct

Every row has ``--passages`` passages of ``--tokens`` tokens. Each side is a process of its own in every round: the
``text`` of all passages in the prompt; ``vectors`` that are made in the step, or for the answer; and for the answer
``kept`` vectors, as an index has them. Printed are the medians over rounds, their ratios to ``text``, and the peak of
resident memory above that of the loaded model.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WORDS = "casa agua maíz pueblo camino noche fuego piedra flor pájaro cerro lluvia dos tres diez rojo verde con sin para"
SIDES = ("text", "vectors", "kept")


def write_rows(path: Path, options: argparse.Namespace) -> None:
    """Write questions with passages of just so many tokens."""
    from lit_llm.models import CausalLM

    tokenizer: Any = CausalLM(backbone=options.backbone).tokenizer
    draw, words = random.Random(0), WORDS.split()

    def passage() -> str:
        """Return a text of so many tokens."""
        ids = tokenizer(" ".join(draw.choices(words, k=options.tokens)), add_special_tokens=False)["input_ids"]
        while True:
            text = str(tokenizer.decode(ids[: options.tokens]))
            if len(tokenizer(text, add_special_tokens=False)["input_ids"]) <= options.tokens:
                return text
            ids = ids[1:]

    with path.open("w", encoding="utf-8") as file:
        for _ in range(options.batch * options.steps):
            docs = [passage() for _ in range(options.passages)]
            row = {"question": " ".join(draw.choices(words, k=8)), "answer": " ".join(draw.choices(words, k=8))}
            file.write(json.dumps(row | {"docs": docs}, ensure_ascii=False) + "\n")


def work(side: str, rows: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return the seconds of a step and of an answer, and their peaks of memory, in this process."""
    import torch
    from bases import bare_trainer
    from processes import forget_peak, memory
    from step_ours import Watch

    from lit_llm.adapters import LoRA
    from lit_llm.data import DocumentsData
    from lit_llm.generation import Generator
    from lit_llm.models import CausalLM, ClaraLM
    from lit_llm.models.schedule import Schedule

    shared: dict[str, Any] = {
        "backbone": options.backbone,
        "adapter": LoRA(r=16, alpha=32, target_modules="all-linear"),
        "schedule": Schedule("constant", warmup=0),
    }
    sizes = {"rate": options.rate, "passage_tokens": options.tokens}
    stage = {"stage": "end_to_end" if side == "kept" else "instruct"} | sizes
    model: Any = CausalLM(**shared) if side == "text" else ClaraLM(**shared, **stage)
    own: dict[str, Any] = {"passages": "text", "passage_tokens": options.tokens} if side == "text" else {}
    data = DocumentsData(
        train=rows, predict=rows, batch_size=options.batch, eval_batch_size=options.batch, max_length=1 << 16, **own
    )
    data.take_model(model)
    found: dict[str, Any] = {}
    if side != "kept":
        watch = Watch()
        trainer = bare_trainer(str(Path(rows).parent / side), options.steps, "32-true", watch)
        trainer.fit(model, datamodule=data)
        found |= {"step": statistics.median(watch.seconds[2:]), "step peak": memory("VmHWM") - watch.loaded}
    else:
        model.configure_model()
    model.eval()
    data.setup("predict")
    batch = next(iter(data.predict_dataloader()[0]))
    found["prompt tokens"] = batch.prompt.attention_mask.shape[1]
    with torch.inference_mode():
        # What a step, or the making of kept vectors, has given back is not the answer's.
        if side == "kept":
            model.answers(batch, Generator(max_new_tokens=1, stop="never"))
        ctypes.CDLL(None).malloc_trim(0)
        loaded = memory("VmRSS")
        forget_peak()
        model.answers(batch, Generator(max_new_tokens=1, stop="never"))
        for name, count in (("first token", 1), ("answer", options.new)):
            start = time.perf_counter()
            model.answers(batch, Generator(max_new_tokens=count, stop="never"))
            found[name] = time.perf_counter() - start
        found["answer peak"] = max(0, memory("VmHWM") - loaded)
    return found


def show(found: dict[str, list[dict[str, Any]]]) -> None:
    """Print medians and their ratios to those of the text."""
    names = ("step", "step peak", "prompt tokens", "first token", "answer", "answer peak")
    middle = {side: {name: _median(rounds, name) for name in names} for side, rounds in found.items()}
    for name in names:
        cells = []
        for side, values in middle.items():
            value, text = values[name], middle["text"][name]
            if value is not None and text is not None:
                shown = f"{value / 2**20:.0f} MiB" if "peak" in name else f"{value:.4g}"
                cells.append(f"{side} {shown} ({value / text:.3f} of the text's)" if text else f"{side} {shown}")
        print(f"{name}: {', '.join(cells)}")


def _median(rounds: list[dict[str, Any]], name: str) -> float | None:
    values = [one[name] for one in rounds if name in one]
    return statistics.median(values) if values else None


def main() -> None:
    """Measure in turns and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default=str(ROOT / "checkpoints/qwen3-tiny"))
    parser.add_argument("--passages", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=256, help="of a passage")
    parser.add_argument("--rate", type=int, default=16)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--new", type=int, default=32, help="tokens of an answer")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--rows", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.steps < 3:
        parser.error(f"--steps: {options.steps} are too few: the first two of 3 or more are left out")
    if options.side:
        print(json.dumps(work(options.side, options.rows, options)))
        return
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as name:
        rows = Path(name) / "rows.jsonl"
        write_rows(rows, options)
        environment = os.environ | {"OMP_NUM_THREADS": str(options.threads)}
        for number in range(options.rounds):
            for side in SIDES:
                command = [sys.executable, __file__, *sys.argv[1:], "--side", side, "--rows", str(rows)]
                done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
                if done.returncode:
                    raise SystemExit(done.stderr[-3000:])
                found[side].append(json.loads(done.stdout.splitlines()[-1]))
                print(f"round {number + 1}: {side}: {json.dumps(found[side][-1])}", flush=True)
    show(found)


if __name__ == "__main__":
    main()
