"""GPTQ, AWQ, AutoRound and SmoothQuant by llm-compressor, in an environment of its own: its versions are not ours."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lit_llm.errors import ConfigError, UserError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from lit_llm.quantization.integers import IntFormat

METHODS = ("gptq", "awq", "autoround", "w8a8", "smoothquant")
"""Weights corrected for each other's rounding (Frantar et al. 2023), scaled by their inputs (Lin et al. 2024) or
rounded up or down as is learned (Cheng et al. 2024), and weights and inputs in 8 bits, as they are or smoothed (Xiao et
al. 2023)."""

ENVIRONMENT = "LIT_LLM_COMPRESSOR"
"""Variable with the folder of the environment, where it is not ``.venv-compressor`` here."""


def compressor_python() -> Path:
    """Return the interpreter of the environment that ``scripts/make_compressor.sh`` makes.

    Raises:
        ConfigError: if there is none.
    """
    folder = Path(os.environ.get(ENVIRONMENT, ".venv-compressor"))
    python = folder / "bin" / "python"
    if not python.exists():
        raise ConfigError(
            f"--method: there is no {python}: make the environment of llm-compressor with scripts/make_compressor.sh, "
            f"or name its folder in {ENVIRONMENT}"
        )
    return python.absolute()


def compress(
    model: PreTrainedModel, method: str, form: IntFormat, calibration: list[list[int]], probe: list[int], folder: Path
) -> torch.Tensor:
    """Write a quantized copy of a model, and return the logits ``[1, T, V]`` that its library computes for a row.

    Args:
        model: plain.
        method: one of ``METHODS``.
        form: bits of each layer, and group size.
        calibration: token ids of rows that are like those it will read.
        probe: token ids of the row.
        folder: to write to.

    Raises:
        ConfigError: if there is no such environment, or ``form`` does not fit the model.
        UserError: if the library fails.
    """
    import torch

    if method == "autoround" and form.layers:
        # Its modifier rounds all layers of a block alike, whatever it is told.
        raise ConfigError("--layers: autoround gives all layers the same bits; use gptq or awq")
    plan = form.plan(model)
    layers = {bits: [name for name in plan if plan[name] == bits] for bits in sorted(set(plan.values()))}
    python = compressor_python()
    with tempfile.TemporaryDirectory() as place:
        plain, job = Path(place) / "plain", Path(place) / "job.json"
        model.save_pretrained(plain, safe_serialization=True)
        settings: dict[str, object] = {"model": str(plain), "output": str(folder.absolute()), "method": method}
        left = [name for name, layer in model.named_modules() if hasattr(layer, "in_features") and name not in plan]
        settings |= {"layers": layers, "ignore": left, "group_size": form.group_size}
        job.write_text(json.dumps({**settings, "calibration": calibration, "probe": probe}), encoding="utf-8")
        command = [str(python), str(Path(__file__).with_name("compressor_worker.py")), str(job)]
        # It must not see the packages or the working folder of this process.
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise UserError(f"--method: llm-compressor has failed:\n{last}")
    found = folder / "probe.json"
    logits = torch.tensor(json.loads(found.read_text()))
    found.unlink()
    return logits
