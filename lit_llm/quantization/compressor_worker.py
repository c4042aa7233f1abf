"""Quantizes one model with llm-compressor; run by the Python of an environment of its own, never imported.

    python compressor_worker.py job.json

The job names the folders of the ``model`` and of the ``output``, the ``method``, ``bits`` and ``group_size``, the
``calibration`` rows and a ``probe`` as token ids, and layers to ``ignore``. Beside the weights, the logits of the probe
are written to ``probe.json``.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from llmcompressor import oneshot
from llmcompressor.modifiers.quantization import GPTQModifier, QuantizationModifier
from llmcompressor.modifiers.transform.awq import AWQModifier
from llmcompressor.modifiers.transform.smoothquant import SmoothQuantModifier
from llmcompressor.pipelines.cache import IntermediatesCache
from transformers import AutoModelForCausalLM


def recipe(job: dict[str, Any]) -> list[Any]:
    """Return the modifiers of a method."""
    grouped = {"strategy": "group", "group_size": job["group_size"]} if job["group_size"] else {"strategy": "channel"}
    group: dict[str, Any] = {"targets": ["Linear"]}
    group["weights"] = {"num_bits": job["bits"], "type": "int", "symmetric": True, **grouped}
    scheme: dict[str, Any] = {"config_groups": {"group_0": group}, "ignore": job["ignore"]}
    if job["method"] == "gptq":
        return [GPTQModifier(**scheme)]
    if job["method"] == "awq":
        return [AWQModifier(), QuantizationModifier(**scheme)]
    group["input_activations"] = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True}
    smooth = [SmoothQuantModifier(smoothing_strength=0.5)] if job["method"] == "smoothquant" else []
    return [*smooth, QuantizationModifier(**scheme)]


def main() -> None:
    """Do the job."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if not torch.cuda.is_available():
        # AWQ pins memory for a GPU even where there is none.
        IntermediatesCache._pin_intermediate = classmethod(lambda cls, intermediate: None)
    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype="auto")
    rows = [{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in job["calibration"]]
    longest = max(len(ids) for ids in job["calibration"])
    sizes = {"num_calibration_samples": len(rows), "max_seq_length": longest}
    oneshot(model=model, dataset=Dataset.from_list(rows), recipe=recipe(job), log_dir=None, **sizes)
    with torch.no_grad():
        logits = model(torch.tensor([job["probe"]], device=model.device)).logits.float()
    model.save_pretrained(job["output"], save_compressed=True)
    (Path(job["output"]) / "probe.json").write_text(json.dumps(logits.tolist()))


if __name__ == "__main__":
    main()
