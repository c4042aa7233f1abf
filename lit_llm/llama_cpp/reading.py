"""Reads a GGUF file back with transformers, which reads less of it than llama.cpp does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gguf import GGUFReader
    from transformers import PreTrainedModel

UNREAD = ("attention_bias", "mlp_bias")
"""Fields of a configuration that follow from the tensors of a file, and which transformers takes to be as usual."""


def opened(path: Path, config: Any) -> PreTrainedModel:
    """Return the model of a file in float32.

    Args:
        path: the file.
        config: of the model that it was written of, for what transformers does not read.
    """
    import gguf
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    own = AutoConfig.from_pretrained(path.parent, gguf_file=path.name)
    file = gguf.GGUFReader(path)
    own.rope_parameters, own.head_dim = _rope(file, config), _number(file, "attention.key_length")
    for name in UNREAD:
        if hasattr(config, name):
            setattr(own, name, getattr(config, name))
    settings = {"gguf_file": path.name, "dtype": torch.float32, "config": own}
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(path.parent, **settings)
    model.eval()
    return model


def _number(file: GGUFReader, name: str) -> int:
    fields = file.fields
    return int(fields[f"{fields['general.architecture'].contents()}.{name}"].contents())


def _rope(file: GGUFReader, config: Any) -> dict[str, Any]:
    """Return what a file says of rotary positions; transformers itself reads ``rope_theta`` alone."""
    if any(tensor.name == "rope_freqs.weight" for tensor in file.tensors):
        return dict(config.rope_parameters)
    fields = file.fields
    architecture = fields["general.architecture"].contents()
    names = {
        "rope_theta": "freq_base",
        "rope_type": "scaling.type",
        "factor": "scaling.factor",
        "original_max_position_embeddings": "scaling.original_context_length",
    }
    found = {key: fields.get(f"{architecture}.rope.{name}") for key, name in names.items()}
    return {"rope_type": "default"} | {key: field.contents() for key, field in found.items() if field is not None}
