"""Quantizes one model with llm-compressor; run by the Python of an environment of its own, never imported.

    python compressor_worker.py job.json

The job names the folders of the ``model`` and of the ``output``, the ``method``, ``layers`` by their bits, those to
``ignore``, the ``group_size``, and the ``calibration`` rows and a ``probe`` as token ids. Beside the weights, the
logits of the probe are written to ``probe.json``.
"""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from llmcompressor import oneshot
from llmcompressor.modifiers.autoround import AutoRoundModifier
from llmcompressor.modifiers.autoround import base as autoround_base
from llmcompressor.modifiers.quantization import GPTQModifier, QuantizationModifier
from llmcompressor.modifiers.transform.awq import AWQModifier
from llmcompressor.modifiers.transform.smoothquant import SmoothQuantModifier
from llmcompressor.pipelines.cache import IntermediatesCache
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast


def recipe(job: dict[str, Any]) -> list[Any]:
    """Return the modifiers of a method."""
    grouped = {"strategy": "group", "group_size": job["group_size"]} if job["group_size"] else {"strategy": "channel"}
    inputs = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True}
    groups: dict[str, Any] = {}
    for bits, names in job["layers"].items():
        weights = {"num_bits": int(bits), "type": "int", "symmetric": True, **grouped}
        groups[f"bits_{bits}"] = {"targets": names, "weights": weights}
        if job["method"] in ("w8a8", "smoothquant"):
            groups[f"bits_{bits}"]["input_activations"] = inputs
    scheme: dict[str, Any] = {"config_groups": groups, "ignore": job["ignore"]}
    if job["method"] == "gptq":
        return [GPTQModifier(**scheme)]
    if job["method"] == "autoround":
        return [AutoRoundModifier(**scheme, enable_torch_compile=False)]
    before = {"awq": [AWQModifier()], "smoothquant": [SmoothQuantModifier(smoothing_strength=0.5)]}
    return [*before.get(job["method"], []), QuantizationModifier(**scheme)]


def main() -> None:
    """Do the job."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if not torch.cuda.is_available():
        # AWQ pins memory for a GPU even where there is none.
        IntermediatesCache._pin_intermediate = classmethod(lambda cls, intermediate: None)
    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype="auto")
    if model.dtype == torch.float32:
        # AutoRound computes in 16 bits unless it is told otherwise, and its modifier cannot tell it.
        autoround_base.AutoRound = partial(autoround_base.AutoRound, amp=False)
    rows = [{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in job["calibration"]]
    longest = max(len(ids) for ids in job["calibration"])
    sizes = {"num_calibration_samples": len(rows), "max_seq_length": longest}
    # Rows are ids already; without this it looks for a tokenizer beside the weights, and some have to be there.
    unused = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"": 0}, unk_token="")), pad_token="")
    oneshot(model=model, dataset=Dataset.from_list(rows), recipe=recipe(job), log_dir=None, processor=unused, **sizes)
    with torch.no_grad():
        logits = model(torch.tensor([job["probe"]], device=model.device)).logits.float()
    model.save_pretrained(job["output"], save_compressed=True)
    (Path(job["output"]) / "probe.json").write_text(json.dumps(logits.tolist()))


if __name__ == "__main__":
    main()
