#!/usr/bin/env python3
"""Try on a GPU what lit_llm does there, within a limit of time, and write what was seen."""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("lightning", "transformers", "peft", "torchmetrics", "jsonargparse", "tensorboard", "sacrebleu", "scipy")
VERSIONS = ("torch", "transformers", "peft", "lightning", "bitsandbytes", "flash-linear-attention", "causal-conv1d")


def machine() -> dict[str, Any]:
    """Return what the figures were taken on; of the machine, its GPU alone."""
    found: dict[str, Any] = {"gpu": None, "versions": {}}
    if torch.cuda.is_available():
        facts = torch.cuda.get_device_properties(0)
        found["gpu"] = facts.name
        found |= {"memory_gib": round(facts.total_memory / 2**30, 1), "cuda": torch.version.cuda}
        found["bfloat16"] = torch.cuda.is_bf16_supported(including_emulation=False)
    for name in VERSIONS:
        try:
            found["versions"][name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def tests(folder: Path, limit: float) -> dict[str, Any]:
    """Run the tests that need a GPU, and say which failed, also where time ends before they do."""
    options = ["-v", "--tb=short", "-m", "gpu", "-p", "no:cacheprovider"]
    options += ["-n", "4"] if importlib.util.find_spec("xdist") else []
    command = [sys.executable, "-m", "pytest", *options, "tests/test_gpu.py"]
    path = folder / "tests.log"
    with path.open("w") as log:
        try:
            status = subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, timeout=limit, check=False).returncode
        except subprocess.TimeoutExpired:
            status = 124
    text = path.read_text(errors="replace")
    if status:
        print(text, flush=True)
    lines = text.strip().splitlines() or [""]
    passed = len(re.findall(r"^.*\bPASSED\b", text, re.MULTILINE))
    failed = sorted({found for line in lines for found in re.findall(r"(?:FAILED|ERROR) (\S+::\S+)", line)})
    summary = lines[-1] if status != 124 else f"stopped after {limit:.0f} s: {passed} passed, {len(failed)} failed"
    return {"exit": status, "summary": summary, "failed": failed}


def checks(folder: Path, tiny: bool, end: float) -> dict[str, Callable[[], Mapping[str, Any]]]:
    """Return what is tried, in its order, by name; the tests take what is left until ``end``."""
    from scripts.gpu import kernels, sizes, speed, types

    def on(name: str, quantizer: str | None) -> Callable[[], Mapping[str, Any]]:
        return lambda: speed.training(sizes.base(folder, name, tiny), folder, quantizer, tiny)

    found: dict[str, Callable[[], Mapping[str, Any]]] = {
        "product rate": lambda: speed.product_rate(tiny),
        "float16 without bfloat16": lambda: types.float16(folder, tiny),
    }
    # With small shapes, the two sizes of Qwen3 are one.
    for name in sizes.NAMES[:: 2 if tiny else 1]:
        found[f"{name}: LoRA, bfloat16"] = on(name, None)
        found[f"{name}: LoRA, NF4"] = on(name, "NF4")
    found[f"{sizes.NAMES[0]}: TRL, bfloat16"] = lambda: speed.trl_training(
        sizes.base(folder, sizes.NAMES[0], tiny), folder, tiny
    )
    found[f"{sizes.NAMES[0]}: packing"] = lambda: speed.packing(sizes.base(folder, sizes.NAMES[0], tiny), folder, tiny)
    found["kernels of linear attention"] = lambda: kernels.beside_own_code(folder, tiny)
    found["generation"] = lambda: speed.generation(sizes.base(folder, sizes.NAMES[0], tiny), tiny)
    found["merge"] = lambda: speed.merged(sizes.base(folder, sizes.NAMES[0], tiny), folder, tiny)
    found["tests"] = lambda: tests(folder, max(10.0, end - time.monotonic()))
    return found


def attempt(check: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """Return what a check saw, or why it could not be made."""
    start = time.monotonic()
    try:
        seen = dict(check())
    except Exception as error:
        traceback.print_exc()
        seen = {"error": f"{type(error).__name__}: {str(error)[:500]}"}
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return seen | {"seconds": round(time.monotonic() - start, 1)}


def share(seen: dict[str, Any], rate: float | None) -> dict[str, Any]:
    """Add which share of the measured product rate the products of a training take, and of the plain loop beside it."""
    if rate and "flops_per_token" in seen:
        for key in [key for key in seen if key.endswith("tokens_per_second")]:
            name = key.replace("tokens_per_second", "share_of_product_rate")
            seen[name] = round(seen["flops_per_token"] * seen[key] / rate, 3)
    return seen


def run(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Make every check that time and packages allow."""
    end, found = time.monotonic() + options.limit, {}
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        return {"all": {"skipped": f"not installed: {', '.join(missing)}; name their wheels with --wheels"}}
    rate = None
    for name, check in checks(folder, options.tiny, end).items():
        if not re.search(options.only, name) and name != "product rate":
            continue
        lacks = name.endswith("NF4") and importlib.util.find_spec("bitsandbytes") is None
        if lacks or end - time.monotonic() < 0.1 * options.limit:
            found[name] = {"skipped": "bitsandbytes is not installed" if lacks else "no time is left"}
        else:
            found[name] = share(attempt(check), rate)
        rate = found[name].get("flops", rate)
        print(f"{name}: {json.dumps(found[name])}", flush=True)
    return found


def main() -> int:
    """Run the checks, print what they saw and write it down; the status is 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=float, default=330.0, help="seconds for all of it")
    parser.add_argument("--output", type=Path, help="by default docs/results/gpu_NAME.json, and none without a GPU")
    parser.add_argument("--only", default="", help="a regular expression that names of checks have to match")
    parser.add_argument("--tiny", action="store_true", help="small shapes")
    options = parser.parse_args()
    options.tiny = options.tiny or not torch.cuda.is_available()
    facts = machine()
    folder = Path(tempfile.mkdtemp())
    try:
        found = run(options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    name = re.sub(r"\W+", "_", str(facts["gpu"]).lower()).strip("_")
    output = options.output or (ROOT / "docs/results" / f"gpu_{name}.json" if facts["gpu"] else None)
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps({"machine": facts, "tiny": options.tiny, "checks": found}, indent=2) + "\n")
        print(output)
    return int(any("error" in seen or seen.get("exit", 0) not in (0, 5) for seen in found.values()))


if __name__ == "__main__":
    sys.exit(main())
