"""Compare engines on the answers of a run: the same prompts, greedy, float32 arithmetic, each in a process of its own.

    python scripts/benchmarks/engines.py --run checkpoints/extraction_tiny

Engines of other environments are made by scripts/make_engines.sh and left out where they are not. Printed are, for each
number of prompts in flight, rows a second, the time of a first token and of each further one, the most memory of the
process, the size of the weights on disk, and how many texts are those of lit_llm: a faster engine that answers
otherwise is another model. Exit status 1 if one that computes in float32 shares less than 99 %.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inference import load

from lit_llm.llama_cpp import available
from lit_llm.quiet import quiet

ROOT = Path(__file__).resolve().parents[2]
WORKER = Path(__file__).with_name("engine_worker.py")

ELSEWHERE = {
    "vLLM": "vllm serve {folder} --dtype float32",
    "TensorRT-LLM": "trtllm-serve {folder}",
    "ExLlamaV3": "python convert.py -i {folder} -o OUT -b 4.0, then examples/chat.py -m OUT",
}
"""What answers on a GPU: commands that nobody has run here."""


@dataclass
class Engine:
    """An engine and what it opens.

    Attributes:
        name: as the worker knows it.
        python: of its environment.
        weights: file or folder.
        loads: how many prompts it can have in flight.
    """

    name: str
    python: Path
    weights: Path
    loads: list[int]
    found: dict[int, list[dict[str, Any]]] = field(default_factory=dict)


def engines(folder: Path, loads: list[int]) -> list[Engine]:
    """Return the engines that are here, with a folder that holds ``merged``, ``f32.gguf`` and ``f16.gguf``."""
    own, merged = Path(sys.executable), folder / "merged"
    found = [Engine(name, own, merged, loads) for name in ("lit_llm", "guesses", "transformers")]
    found.append(Engine("continuous", own, merged, [flight for flight in loads if flight > 1]))
    if available():
        found.append(Engine("llama.cpp", own, folder / "f32.gguf", loads))
    openvino, mistralrs = (ROOT / f".venv-{name}/bin/python" for name in ("openvino", "mistralrs"))
    if openvino.exists():
        # It reads no matrices in 32 bits.
        found.append(Engine("openvino", openvino, folder / "f16.gguf", loads))
    if mistralrs.exists():
        found.append(Engine("mistralrs", mistralrs, merged, [1]))
    return found


def ask(engine: Engine, job: dict[str, Any], place: Path) -> dict[str, Any]:
    """Let an engine do a job.

    Raises:
        CalledProcessError: if it fails; its last words are printed.
    """
    file = place / "job.json"
    file.write_text(json.dumps(job | {"model": str(engine.weights)}), encoding="utf-8")
    threads = str(job["threads"])
    environment = os.environ | {"OMP_NUM_THREADS": threads, "RAYON_NUM_THREADS": threads, "MISTRALRS_CPU_KV_F32": "1"}
    done = subprocess.run(
        [str(engine.python), str(WORKER), engine.name, str(file)], capture_output=True, text=True, env=environment
    )
    if done.returncode:
        print("\n".join(done.stderr.splitlines()[-5:]), file=sys.stderr)
        done.check_returncode()
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def export(run: str, folder: Path) -> None:
    """Write what engines open."""
    commands = [
        ["--merged", "merged"],
        ["--gguf", "f32.gguf", "--type", "F32"],
        ["--gguf", "f16.gguf", "--type", "F16"],
    ]
    for option, name, *others in commands:
        command = [sys.executable, "-m", "lit_llm", "export", "--run", run, option, str(folder / name), *others]
        subprocess.run(command, check=True, capture_output=True)


def size(path: Path) -> int:
    """Return bytes of a file, or of the weights in a folder."""
    return path.stat().st_size if path.is_file() else sum(file.stat().st_size for file in path.glob("*.safetensors"))


def show(found: list[Engine], rows: int, tokens: float) -> bool:
    """Print the table; return whether all agree with the first."""
    reference = next(iter(found[0].found.values()))[0]["texts"]
    head = ["engine", "in flight", "rows/s", "first ms", "token ms", "start s", "process MiB", "disk MB", "same texts"]
    print(f"\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    agree = True
    for engine in found:
        for flight, rounds in engine.found.items():
            seconds = statistics.median(one["seconds"] for one in rounds)
            same = sum(a == b for a, b in zip(reference, rounds[0]["texts"], strict=True))
            agree &= same >= 0.99 * rows
            cells = [engine.name, str(flight), f"{rows / seconds:.1f}", "", ""]
            if flight == 1:
                first = statistics.median(one["first"] for one in rounds)
                cells[3:] = [f"{1000 * first:.1f}", f"{1000 * (seconds / rows - first) / (tokens - 1):.2f}"]
            cells += [f"{statistics.median(one['start'] for one in rounds):.1f}"]
            cells += [f"{max(one['resident'] for one in rounds):,.0f}", f"{size(engine.weights) / 1e6:.1f}"]
            print(f"| {' | '.join([*cells, f'{same} of {rows}'])} |")
    return agree


def parse() -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="run folder; its best weights answer its test files")
    parser.add_argument("--rows", type=int, default=100, help="most rows (default 100)")
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 8, 32], help="default 1 8 32")
    parser.add_argument("--max-new-tokens", type=int, default=256, help="longest answer (default 256)")
    parser.add_argument("--rounds", type=int, default=3, help="times that every engine runs (default 3)")
    parser.add_argument("--threads", type=int, default=1, help="threads of each (default 1)")
    parser.add_argument("--only", nargs="+", default=[], help="engines; by default all that are here")
    return parser.parse_args()


def main() -> int:
    """Measure and print."""
    arguments = parse()
    quiet()
    loaded = load(argparse.Namespace(run=arguments.run, rows=arguments.rows, cpu=True))
    prompts = [str(loaded.tokenizer.decode(row.prompt)) for row in loaded.rows]
    job = {"prompts": prompts, "limit": arguments.max_new_tokens, "threads": arguments.threads}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        export(arguments.run, folder)
        found = engines(folder, arguments.in_flight)
        found = [engine for engine in found if not arguments.only or engine.name in arguments.only]
        for number in range(arguments.rounds):
            for engine in found:
                for flight in engine.loads:
                    answer = ask(engine, job | {"load": flight}, folder)
                    engine.found.setdefault(flight, []).append(answer)
                    print(
                        f"round {number + 1}: {engine.name}, {flight} in flight: {answer['seconds']:.1f} s", flush=True
                    )
        texts = next(iter(found[0].found.values()))[0]["texts"]
        tokens = sum(len(loaded.tokenizer(text)["input_ids"]) + 1 for text in texts) / len(texts)
        agree = show(found, len(prompts), tokens)
    print("\nnot run here, for they need a GPU; FOLDER is that of `export --merged FOLDER`:")
    for name, command in ELSEWHERE.items():
        print(f"  {name}: {command.format(folder='FOLDER')}")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
