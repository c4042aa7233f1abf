"""Which layers of a model an adapter is put on: by their names, and all that learn something where none are named."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from torch import nn

from lit_llm.adapters.base import is_quantized, matches, nearest
from lit_llm.errors import ConfigError

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel

ALL = "all-linear"
ROUTERS = ("gate", "router", "shared_expert_gate")
"""Modules that send tokens to experts; what they have learned is kept."""


class Targets(NamedTuple):
    """What is adapted, in the way that PEFT takes names: whole, or the end of them.

    Attributes:
        modules: linear layers.
        parameters: weights that are no linear layer's, or that PEFT does not take as one.
    """

    modules: list[str]
    parameters: list[str]


def is_router(name: str) -> bool:
    """Whether a module of this name, or one around it, sends tokens to experts."""
    return any(part in ROUTERS or part.endswith("_router") for part in name.split("."))


def is_expert(name: str) -> bool:
    """Whether a parameter of this name belongs to one of several experts, or to all of them at once."""
    return any("expert" in part and not part.startswith("shared") for part in name.split("."))


def linear_layers(model: PreTrainedModel) -> dict[str, nn.Module]:
    """Return the linear layers by which a model turns text into text: no heads, routers, or towers for images."""
    decoder = model.get_decoder()
    inside = next((f"{name}." for name, module in model.named_modules() if module is decoder and name), "")
    head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    return {
        name: module
        for name, module in model.named_modules()
        if hasattr(module, "in_features") and name.startswith(inside) and module is not head and not is_router(name)
    }


def expert_weights(model: PreTrainedModel) -> list[str]:
    """Return the names of weights ``[experts, in, out]``, from the module that holds them on; PEFT takes their ends."""
    found = {
        ".".join([*name.split(".")[-1:], key])
        for name, module in model.named_modules()
        for key, weight in module.named_parameters(recurse=False)
        if weight.dim() == 3 and is_expert(name)
    }
    return sorted(found)


def resolve_modules(model: PreTrainedModel, wanted: Sequence[str] | str) -> list[str]:
    """Return the names of linear layers to adapt, sorted.

    Raises:
        ConfigError: a name means no linear layer of ``model``; the nearest ones are named.
    """
    kind = type(model).__name__
    if wanted == ALL:
        layers = linear_layers(model)
        if not layers:
            raise ConfigError(f"adapter: {kind} has no linear layer to adapt; use lit_llm.adapters.Full")
        names = _shortest(layers, (name for name, _ in model.named_modules()))
        around = read_around(model, names)
        return [name for name in names if name not in around]
    linears = [name for name, module in model.named_modules() if hasattr(module, "in_features")]
    for name in wanted:
        if not any(matches(name, key) for key in linears):
            known = nearest(name, (key.rpartition(".")[2] for key in linears))
            fused = [weight for weight in expert_weights(model) if name.split("_")[0] in weight]
            hint = f"; the weights of experts are target_parameters, such as {fused[0]!r}" if fused else ""
            raise ConfigError(
                f"adapter.target_modules: {name!r} is no linear layer of {kind}; nearest: {known}{hint}; without the "
                "setting, all linear layers are adapted"
            )
    if not wanted:
        raise ConfigError("adapter.target_modules: the list is empty; name linear layers or write all-linear")
    if around := read_around(model, wanted):
        raise ConfigError(
            f"adapter.target_modules: {around[0]!r} would do nothing: kernels of {kind} read its weight themselves; "
            "leave it out"
        )
    return sorted(set(wanted))


def check_parameters(model: PreTrainedModel, wanted: Sequence[str]) -> None:
    """Refuse names that mean no weight of two or three dimensions.

    Raises:
        ConfigError: if one does; the nearest ones are named.
    """
    weights = [name for name, weight in model.named_parameters() if weight.dim() in (2, 3)]
    for name in wanted:
        if not any(matches(name, key) for key in weights):
            known = nearest(name, (".".join(key.split(".")[-2:]) for key in weights))
            raise ConfigError(f"adapter.target_parameters: {name!r} is no weight of the model; nearest: {known}")


def read_as_experts(model: PreTrainedModel, config: PeftConfig) -> list[str]:
    """Return target modules that PEFT would put on fused experts instead.

    It takes ``down_proj`` for the name that an expert's layer had before experts were fused, also where a shared expert
    has a linear layer of that name.
    """
    try:
        from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers as convert
    except ImportError:
        return []
    found, asked = [], cast(Any, config).target_modules
    for name in asked:
        alone: Any = copy.copy(config)
        alone.target_modules, alone.target_parameters = {name}, None
        alone.rank_pattern, alone.alpha_pattern = {}, {}
        try:
            convert(alone, model, None)
        except ValueError:
            # One of two names whose experts' layers are fused, without the other.
            found.append(name)
        else:
            found += [] if name in alone.target_modules else [name]
    return sorted(found)


def read_around(model: PreTrainedModel, names: Iterable[str]) -> list[str]:
    """Return target modules whose weights a model's kernels read themselves, so that an adapter would do nothing."""
    try:
        from peft.tuners.tuners_utils import _check_lora_target_modules_mamba as look
    except ImportError:
        return []
    found = []
    for name in names:
        try:
            look(cast(Any, SimpleNamespace(peft_type="LORA")), model, name.rpartition(".")[2])
        except ValueError:
            found.append(name)
    return found


def plain_weights(model: PreTrainedModel, names: Iterable[str]) -> Iterator[str]:
    """Yield those of some linear layers whose weight may be named as a parameter, as ``<name>.weight``."""
    for name in names:
        layers = [module for key, module in model.named_modules() if matches(name, key)]
        if layers and not any(is_quantized(layer) for layer in layers):
            yield f"{name}.weight"


def refuse_tied(model: PreTrainedModel, name: str) -> None:
    """Refuse to adapt an embedding or head that shares its weight with the other.

    Raises:
        ConfigError: if ``name`` means one of them.
    """
    embedding: Any = model.get_input_embeddings()
    head: Any = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    if head is None or embedding is None or head.weight is not embedding.weight:
        return
    for key, module in model.named_modules():
        if module in (embedding, head) and matches(name, key):
            remedy = "leave it out, or use a backbone with tie_word_embeddings: false"
            raise ConfigError(
                f"adapter: {name!r} shares its weight with the model's other embedding, so that adapting one of "
                f"them would untie them or change both; {remedy}"
            )


def whole_names(model: PreTrainedModel, wanted: Sequence[str]) -> list[str]:
    """Return the full names of modules that ``wanted`` means: PEFT would take ``norm`` for every ``q_norm``, too.

    Raises:
        ConfigError: a name means no module; the nearest ones are named.
    """
    keys = [key for key, _ in model.named_modules()]
    for name in wanted:
        if not any(matches(name, key) for key in keys):
            known = nearest(name, (key.rpartition(".")[2] for key in keys))
            raise ConfigError(f"adapter.modules_to_save: {name!r} is no module of the model; nearest: {known}")
    return [key for key in keys if any(matches(name, key) for name in wanted)]


def _shortest(wanted: Collection[str], known: Iterable[str]) -> list[str]:
    """Return the last parts of names, and whole names where the last part means something else too."""
    others = {name.rpartition(".")[2] for name in known if name not in wanted}
    parts = ((name, name.rpartition(".")[2]) for name in wanted)
    return sorted({name if last in others else last for name, last in parts})
