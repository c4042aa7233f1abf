#!/usr/bin/env python3
"""Write the weights and the tokenizer of a GGUF file as a folder that every program of Hugging Face opens.

Weights that the file holds rounded come out as the numbers that they were rounded to, in float32 or bfloat16.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from gguf import GGUFReader
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging


def convert(file: Path, folder: Path, dtype: torch.dtype) -> int:
    """Write a folder and return how many weights it holds.

    Args:
        file: the GGUF file.
        folder: is made where it is not there.
        dtype: of the weights that are written.
    """
    source = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    opened = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    config = opened.config
    # A model that came out of a GGUF file counts as a quantized one, which transformers does not save.
    del config.quantization_config
    config.dtype = dtype
    model = AutoModelForCausalLM.from_config(config).to(dtype)
    model.load_state_dict(opened.state_dict())
    model.generation_config = opened.generation_config
    model.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(**source)
    if cut_of(file) == "smollm":
        # transformers leaves out that this kind reads numbers digit by digit.
        parts = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)
    tokenizer.save_pretrained(folder)
    return sum(weight.numel() for weight in model.parameters())


def cut_of(file: Path) -> str:
    """Return what a GGUF file calls the way in which its tokenizer cuts a text into words."""
    field = GGUFReader(file).get_field("tokenizer.ggml.pre")
    return str(field.contents()) if field else ""


def main() -> None:
    """Read the command line and convert."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    options = parser.parse_args()
    logging.disable_progress_bar()
    count = convert(options.file, options.folder, getattr(torch, options.dtype))
    print(f"{options.folder}: {count:,} weights in {options.dtype}")


if __name__ == "__main__":
    main()
