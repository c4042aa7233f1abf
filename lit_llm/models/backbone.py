"""Opens a causal language model and its tokenizer: from the hub, a folder, or the shipped tiny base."""

import hashlib
import json
import os
import tempfile
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import lit_llm.models.hub as hub
import lit_llm.models.weights as files
from lit_llm.errors import ConfigError
from lit_llm.models.kernels import compute_where_placed
from lit_llm.models.packing import STATEFUL
from lit_llm.models.refusals import refusal_of
from lit_llm.paths import at_home, missing_base, no_base
from lit_llm.quantization import Quantizer, refuse_stored_otherwise, unpacked
from lit_llm.wording import first_line

# Annotations are evaluated here: postponed ones would make jsonargparse import what this block guards.
if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

EMBEDDED = "checkpoints/qwen3-tiny"
"""The base that comes with the project."""

Dtype = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass
class Loading:
    """How a backbone is opened.

    Attributes:
        dtype: of the weights; ``auto`` follows ``trainer.precision``, with weights that learn kept in float32 under
            mixed precision.
        attn_implementation: ``sdpa``, ``eager`` or ``flash_attention_2``.
        random_init: build the architecture with random weights instead of reading them.
        config_overrides: fields of the model's configuration to change, such as ``num_hidden_layers``; only with
            ``random_init``, since stored weights have one shape.
        tokenizer: folder or hub id of the tokenizer, where it is not beside the weights.
        revision: branch, tag or commit on the hub.
        trust_remote_code: run code that comes with the model. Only turn it on for a model that you have read.
        device_map: ``auto`` spreads layers over GPU, memory and disk for prediction on small machines.
        max_memory: most memory per device with ``device_map``, such as ``{0: 6GiB, cpu: 20GiB}``.
    """

    dtype: Dtype = "auto"
    attn_implementation: str = "sdpa"
    random_init: bool = False
    config_overrides: dict[str, Any] = field(default_factory=dict)
    tokenizer: str | None = None
    revision: str | None = None
    trust_remote_code: bool = False
    device_map: str | None = None
    max_memory: dict[str, str] | None = None


def open_tokenizer(backbone: str, loading: Loading) -> "PreTrainedTokenizerBase":
    """Return the tokenizer of a backbone.

    Raises:
        ConfigError: if it cannot be found, saying what to do, or is not that of the backbone's embedding.
    """
    from transformers import AutoTokenizer

    backbone = at_home(backbone)
    name = at_home(loading.tokenizer or backbone)
    _refuse_mistyped(name, "tokenizer")
    if wrong := no_base(backbone):
        raise ConfigError(f"model.init_args.backbone: {wrong}")
    files.refuse_broken(Path(name), weights=False)
    files.refuse_broken(Path(backbone), weights=not loading.random_init)
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            name, revision=loading.revision, trust_remote_code=loading.trust_remote_code, **hub.settings(name)
        )
    except (OSError, ValueError) as error:
        refused = refusal_of(error, name, loading.attn_implementation)
        raise refused or _not_found(name, "tokenizer", error) from error
    size = getattr(open_config(backbone, loading).get_text_config(), "vocab_size", None)
    if size is not None:
        files.refuse_larger(tokenizer, size, backbone)
    return tokenizer


def open_model(
    backbone: str, loading: Loading, dtype: "torch.dtype", quantizer: Quantizer | None = None
) -> "PreTrainedModel":
    """Return the network of a backbone, with weights read from safetensors only.

    Args:
        backbone: hub id or folder.
        loading: how to open it.
        dtype: of the weights; of the computation, where they are quantized.
        quantizer: how weights are stored, where not in ``dtype``.

    Raises:
        ConfigError: if it cannot be found or is no causal language model, saying what to do.
    """
    import torch

    backbone = at_home(backbone)
    files.refuse_broken(Path(backbone), weights=not loading.random_init)
    config = open_config(backbone, loading)
    stored = bool(getattr(config, "quantization_config", None))
    common: dict[str, Any] = {"dtype": dtype, "attn_implementation": loading.attn_implementation}
    if quantizer:
        common["quantization_config"] = quantizer.loading_config(dtype)
        refuse_stored_otherwise(backbone, config, common["quantization_config"])
    if loading.random_init:
        try:
            model = _random(config, loading, common)
        except (OSError, ValueError, ImportError) as error:
            refused = refusal_of(error, backbone, loading.attn_implementation, config)
            raise refused or _not_found(backbone, "configuration", error) from error
    else:
        model = _read(backbone, config, loading, common)
    if quantizer:
        quantizer.after_loading(model)
    elif stored:
        model = unpacked(model)
    compute_where_placed(model)
    if dtype == torch.float64:
        # Products of experts at once, transformers' usual way, are not made for it; one by one they are.
        model.set_experts_implementation("eager")
    model.generation_config = _plain_generation(model, backbone, loading)
    if Path(backbone).is_dir():
        # PEFT notes this name in its files, which must mean the same from any folder.
        model.name_or_path = str(Path(backbone).resolve())
    result: PreTrainedModel = model
    return result


def _read(backbone: str, config: Any, loading: Loading, common: dict[str, Any]) -> Any:
    """Return the network with the weights of its files."""
    from transformers import AutoModelForCausalLM

    if loading.device_map:
        memory = {int(k) if k.isdigit() else k: v for k, v in (loading.max_memory or {}).items()}
        common |= {"device_map": loading.device_map, "max_memory": memory or None}
    try:
        opened: Any = AutoModelForCausalLM.from_pretrained(
            backbone,
            config=config,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            revision=loading.revision,
            trust_remote_code=loading.trust_remote_code,
            use_safetensors=True,
            **hub.settings(backbone),
            **common,
        )
    except (OSError, ValueError, ImportError) as error:
        refused = refusal_of(error, backbone, loading.attn_implementation, config)
        raise refused or _not_found(backbone, "weights", error) from error
    model, loaded = opened
    if not getattr(config, "quantization_config", None):
        files.refuse_other_weights(backbone, config, loaded)
    return model


def _random(config: Any, loading: Loading, common: dict[str, Any]) -> Any:
    """Return a network with random weights; those to quantize are written to disk first, since only loading does it."""
    from transformers import AutoModelForCausalLM

    plain = {key: value for key, value in common.items() if key != "quantization_config"}
    model = AutoModelForCausalLM.from_config(config, trust_remote_code=loading.trust_remote_code, **plain)
    if plain == common:
        return model
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder, safe_serialization=True)
        return AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True, **common)


def weight_dtype(loading: Loading, precision: str, learns_whole: bool) -> "torch.dtype":
    """Return the dtype to open a backbone in.

    Args:
        loading: names it, or ``auto``.
        precision: the trainer's, such as ``bf16-mixed``.
        learns_whole: whether the backbone's own weights learn, which stay in float32 under mixed precision.
    """
    import torch

    if loading.dtype != "auto":
        return getattr(torch, loading.dtype)  # type: ignore[no-any-return]
    kind = {"bf16": torch.bfloat16, "16": torch.float16, "64": torch.float64}.get(precision.split("-")[0])
    if kind is None:
        return torch.float32
    return kind if precision.endswith("true") or not learns_whole else torch.float32


def fingerprint(backbone: str, loading: Loading, seed: int = 0) -> str:
    """Return a hash that tells one base from another: configuration plus headers and edges of the weight files."""
    backbone = at_home(backbone)
    if loading.random_init:
        text = f"random/{seed}/{_plain_config(open_config(backbone, loading))}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]
    digest = hashlib.sha256()
    for file in _weight_files(backbone, loading):
        digest.update(_edges(file))
    return digest.hexdigest()[:16]


def open_config(backbone: str, loading: Loading) -> Any:
    """Return a backbone's configuration, with the changes that ``loading`` makes.

    Raises:
        ConfigError: if there is none, or a change does not fit it.
    """
    from transformers import AutoConfig

    if loading.config_overrides and not loading.random_init:
        raise ConfigError(
            f"model.init_args.loading.config_overrides is {loading.config_overrides}, but stored weights have one "
            "shape: set model.init_args.loading.random_init to true, or remove the overrides"
        )
    _refuse_mistyped(backbone, "configuration")
    try:
        config = AutoConfig.from_pretrained(
            backbone, revision=loading.revision, trust_remote_code=loading.trust_remote_code, **hub.settings(backbone)
        )
    except (OSError, ValueError) as error:
        refused = refusal_of(error, backbone, loading.attn_implementation)
        raise refused or _not_found(backbone, "configuration", error) from error
    # Of a base that sees images too, the language model alone is opened.
    _override(config.get_text_config() if loading.config_overrides else config, loading.config_overrides, backbone)
    return config


def _override(config: Any, fields: dict[str, Any], backbone: str) -> None:
    unknown = [key for key in fields if not hasattr(config, key)]
    if unknown:
        raise ConfigError(f"model.init_args.loading.config_overrides.{unknown[0]}: {backbone} has no such field")
    # Many list a type for each layer, which must follow a changed depth: the pattern ends earlier, or goes on.
    kinds = getattr(config, "layer_types", None)
    if kinds and "num_hidden_layers" in fields and "layer_types" not in fields:
        kept = [kinds[at % len(kinds)] for at in range(fields["num_hidden_layers"])]
        if keyed := [at for at, kind in enumerate(kinds) if kind not in STATEFUL and not set(kept) - set(STATEFUL)]:
            raise ConfigError(
                f"model.init_args.loading.config_overrides.num_hidden_layers: {len(kept)} leaves {kept[:1]} alone, and "
                f"transformers cannot write with a model that has no attention: use at least {keyed[0] + 1}"
            )
        fields = fields | {"layer_types": kept}
    for key, value in fields.items():
        setattr(config, key, value)


def _plain_config(config: Any) -> str:
    volatile = {"transformers_version", "_name_or_path", "dtype", "torch_dtype", "_attn_implementation"}
    return json.dumps({k: v for k, v in config.to_dict().items() if k not in volatile}, sort_keys=True, default=str)


def _plain_generation(model: "PreTrainedModel", backbone: str, loading: Loading) -> Any:
    from transformers import GenerationConfig

    try:
        # Not the model's: what was built from random or from stored weights has none.
        given: Any = GenerationConfig.from_pretrained(backbone, revision=loading.revision or "main")
    except (OSError, ValueError):
        given = model.generation_config
    # A model's own sampling defaults must not leak into what a run file says; the tokens that end its answers must.
    plain = GenerationConfig.from_model_config(model.config)
    for name in ("eos_token_id", "pad_token_id", "bos_token_id"):
        if (own := getattr(given, name, None)) is not None:
            setattr(plain, name, own)
    return plain


def _weight_files(backbone: str, loading: Loading) -> list[Path]:
    folder = Path(backbone)
    if not folder.is_dir():
        _refuse_mistyped(backbone, "weights")
        from huggingface_hub import snapshot_download

        try:
            fetch = partial(
                snapshot_download,
                backbone,
                revision=loading.revision,
                local_files_only=bool(hub.settings(backbone)),
                ignore_patterns=files.FOR_OTHERS,
            )
            folder = Path(fetch(allow_patterns=["*.json"]))
            folder = Path(fetch(allow_patterns=files.names(folder)))
        except (OSError, ValueError) as error:
            raise _not_found(backbone, "weights", error) from error
    found = files.weight_files(folder)
    if not found:
        raise _not_found(backbone, "weights", OSError(f"no *.safetensors in {folder}"))
    return found


def _edges(file: Path, width: int = 1 << 16) -> bytes:
    size = file.stat().st_size
    with file.open("rb") as stream:
        header = stream.read(8 + int.from_bytes(stream.read(8), "little")) if size > 8 else b""
        parts = [header, str(size).encode()]
        for start in (size // 4, size // 2, max(0, size - width)):
            stream.seek(start)
            parts.append(stream.read(width))
    return b"".join(parts)


def _refuse_mistyped(name: str, what: str) -> None:
    """Refuse a folder that is not there, rather than look for it on the hub, or that holds something else."""
    if wrong := missing_base(name) or ("" if what == "tokenizer" else no_base(name)):
        raise ConfigError(
            f"model.init_args.backbone: cannot open the {what} of {name!r}: {wrong}; run from the project's root, or "
            f"use {EMBEDDED}"
        )


def _not_found(name: str, what: str, error: Exception) -> ConfigError:
    first = first_line(error)
    offline = os.environ.get("HF_HUB_OFFLINE") == "1"
    if not Path(name).exists() and not offline and not hub.answers(hub.endpoint()):
        first = f"{hub.endpoint()} does not answer, and it was not downloaded before"
    if Path(name).exists():
        remedy = (
            "the folder must hold config.json, tokenizer.json and *.safetensors (other weight formats are not read)"
        )
    else:
        remedy = (
            f"{'HF_HUB_OFFLINE=1 is set; ' if offline else ''}download it where there is a network "
            f"(`hf download {name}`), copy the folder here and name it, or set HF_ENDPOINT to a mirror; "
            f"{EMBEDDED} needs no download (see docs/weights.md)"
        )
    return ConfigError(f"model.init_args.backbone: cannot open the {what} of {name!r} ({first}): {remedy}")
