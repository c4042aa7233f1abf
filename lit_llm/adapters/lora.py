"""Low-rank adapters: LoRA with its initialisations, and DoRA."""

import copy
import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from lit_llm.adapters.base import nearest
from lit_llm.adapters.fused import fuse
from lit_llm.adapters.lora_ranks import Ranks, conform, peft_config_of, rank_and_scale
from lit_llm.adapters.lora_start import Passes, factorise, model_inputs, real_tokens, split, take_out
from lit_llm.adapters.peft_base import PeftAdapter, base_name, tuner_layers
from lit_llm.adapters.targets import ALL, Targets, check_parameters, expert_weights
from lit_llm.batch import Batch
from lit_llm.errors import ConfigError

# Annotations are evaluated here: postponed ones would make jsonargparse import what this block guards.
if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel


class LoRA(PeftAdapter):
    """Low-rank adaptation, ``W + s·B·A`` (https://arxiv.org/abs/2106.09685).

    PiSSA and OLoRA take ``s·B₀·A₀`` out of the frozen weight. They are saved as a plain LoRA of twice the rank,
    ``s·(B·A − B₀·A₀)``, which belongs on the untouched backbone and is exact; with a 16-bit backbone both sides
    differ by the rounding of the remainder.

    Args:
        r: rank of the update.
        alpha: scale of the update; ``s`` is ``alpha / r``.
        dropout: dropout on the adapter's input.
        target_modules: names of linear layers to adapt; by default, or with ``all-linear``, each one but routers and
            the output head.
        target_parameters: names of weights to adapt that are no linear layer's, such as ``experts.down_proj`` of fused
            experts; by default those of all experts where all linear layers are adapted, and ``[]`` for none. They
            need ``dropout: 0`` and a start that looks at no weights.
        rslora: use ``s = alpha / √r``, which keeps the update's size steady as the rank grows
            (https://arxiv.org/abs/2312.03732).
        plus_ratio: LoRA+: how many times faster ``B`` learns than ``A`` (https://arxiv.org/abs/2402.12354).
        init: where ``A`` and ``B`` start: ``default`` and ``gaussian`` (random ``A``, zero ``B``), ``pissa`` (the
            largest singular directions, https://arxiv.org/abs/2404.02948), ``olora`` (QR,
            https://arxiv.org/abs/2406.01775) or ``eva`` (the directions of the layers' inputs on training data,
            https://arxiv.org/abs/2410.07170).
        eva_rho: how far EVA may move rank from one layer to another: up to ``eva_rho · r``; 1.0 moves none.
        eva_batches: training batches that EVA looks at.
        rank_pattern: ranks that differ, by the end of a layer's name or a regular expression for it.
        alpha_pattern: the same for ``alpha``.
        modules_to_save: names of modules that learn whole beside the adapter.
        bias: which bias terms learn: ``none``, ``all`` of the model, or those of the ``adapted`` layers.
    """

    use_dora: ClassVar[bool] = False

    def __init__(
        self,
        r: int = 16,
        alpha: float = 32,
        dropout: float = 0.0,
        target_modules: list[str] | Literal["all-linear"] | None = None,
        target_parameters: list[str] | None = None,
        rslora: bool = False,
        plus_ratio: float = 1.0,
        init: Literal["default", "gaussian", "pissa", "olora", "eva"] = "default",
        eva_rho: float = 1.0,
        eva_batches: int = 8,
        rank_pattern: dict[str, int] | None = None,
        alpha_pattern: dict[str, float] | None = None,
        modules_to_save: list[str] | None = None,
        bias: Literal["none", "all", "adapted"] = "none",
    ) -> None:
        super().__init__(target_modules, modules_to_save, bias)
        for key, rank in {"r": r, **{f"rank_pattern.{k}": v for k, v in (rank_pattern or {}).items()}}.items():
            if rank < 1:
                raise ConfigError(f"adapter.{key}: a rank is at least 1, got {rank}")
        if eva_batches < 1:
            raise ConfigError(f"adapter.eva_batches: EVA looks at 1 batch at least, got {eva_batches}")
        self.r, self.alpha, self.dropout = r, alpha, dropout
        self.rslora, self.plus_ratio, self.init = rslora, plus_ratio, init
        self.eva_rho, self.eva_batches = eva_rho, eva_batches
        self.rank_pattern, self.alpha_pattern = rank_pattern or {}, alpha_pattern or {}
        self.target_parameters = target_parameters
        if target_parameters and self.experts_left():
            raise ConfigError(f"adapter.target_parameters: {target_parameters[0]!r}: {self.experts_left()}")

    @property
    def kind(self) -> str:
        """Its name, and ``init`` where it says something of weights or data."""
        plain = self.init in ("default", "gaussian")
        return super().kind if plain else f"{super().kind} {self.init}"

    @property
    def start_batches(self) -> int:
        """``eva_batches`` where ``init`` is EVA."""
        return self.eva_batches if self.init == "eva" else 0

    @property
    def shares(self) -> bool:
        """Whether it starts from random numbers alone."""
        return not self.needs_data and not self._moves_base

    @property
    def _moves_base(self) -> bool:
        return self.init in ("pissa", "olora")

    def experts_left(self) -> str:
        """Return which setting keeps it from weights that are no linear layer's; "" if none does."""
        if self.use_dora:
            return "DoRA reaches linear layers alone"
        if self.dropout:
            return f"PEFT has no dropout there: set dropout to 0 (it is {self.dropout:g})"
        return "" if self.init in ("default", "gaussian") else f"init: {self.init} is for linear layers alone"

    def _targets(self, model: "PreTrainedModel") -> Targets:
        found = super()._targets(model)
        if self.target_parameters is None:
            fused = expert_weights(model) if self.target_modules == ALL and not self.experts_left() else []
            return found._replace(parameters=found.parameters + fused)
        check_parameters(model, self.target_parameters)
        return found._replace(parameters=found.parameters + self.target_parameters)

    def _config(self, **shared: Any) -> "PeftConfig":
        from peft import LoraConfig

        return LoraConfig(
            r=self.r,
            lora_alpha=self.alpha,  # type: ignore[arg-type]
            lora_dropout=self.dropout,
            use_rslora=self.rslora,
            use_dora=self.use_dora,
            init_lora_weights="gaussian" if self.init == "gaussian" else True,
            rank_pattern=dict(self.rank_pattern),
            alpha_pattern=dict(self.alpha_pattern),
            **shared,
        )

    def prepare(self, network: nn.Module) -> None:
        """Start the wrapped layers from the frozen weights where ``init`` says so.

        Raises:
            ConfigError: besides PEFT's reasons, a pattern that fits no adapted layer, a rank above a weight's own, a
                quantized backbone with PiSSA or OLoRA, or a row of zeros with DoRA.
        """
        for kind, pattern in (("rank", self.rank_pattern), ("alpha", self.alpha_pattern)):
            _check_patterns(f"{kind}_pattern", pattern, network)
        with torch.no_grad():
            for name, layer in self._layers(network):
                if self._moves_base:
                    factorise(name, layer, self.init, self.name)
                _reset_magnitude(name, layer, self.name)
        if not self.use_dora:
            fuse(network)

    def initialize(self, network: nn.Module, batches: Iterable[Batch]) -> None:
        """Run EVA on the first ``eva_batches`` batches; nothing happens with another ``init``.

        Parameters stay the same objects, also where their rank changes, so an optimizer made before keeps working.

        Raises:
            ConfigError: too few tokens, or too much alike, for the directions that are wanted; or ranks would move
                in a run of several processes, which have agreed on shapes before.
        """
        if not self.needs_data:
            return
        from peft import EvaConfig, get_eva_state_dict

        inputs = Passes(model_inputs(batch) for batch, _ in zip(batches, range(self.eva_batches), strict=False))
        layers = dict(tuner_layers(network))
        if not inputs:
            raise ConfigError("adapter.init: EVA starts from training batches, but there are none")
        wanted = max(round(self.eva_rho * layer.r[self.name]) for layer in layers.values())
        most = min([*(int(item["attention_mask"].sum()) for item in inputs), *(x.in_features for x in layers.values())])
        if wanted > most:
            raise ConfigError(f"adapter.init: EVA looks for {wanted} directions where a batch or layer has {most}")
        config = copy.copy(peft_config_of(network, self.name))
        config.eva_config = EvaConfig(rho=self.eva_rho)
        with torch.random.fork_rng():
            directions = get_eva_state_dict(
                network, inputs, config, prepare_model_inputs_fn=real_tokens, show_progress_bar=False
            )
        moved = any(len(directions[name]) != layer.r[self.name] for name, layer in layers.items())
        if moved and torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1:
            raise ConfigError("adapter.eva_rho: several processes cannot move ranks; use 1.0 and no rank_pattern")
        ranks = {name: len(d) for name, d in directions.items()}
        conform(network, Ranks.after(network, ranks, self.name), self.name)
        for name, layer in tuner_layers(network):
            layer.lora_A[self.name].weight.data.copy_(directions[name])

    def learning_rate_scale(self, name: str) -> float:
        """Return ``plus_ratio`` for ``B``, 1.0 for the rest."""
        return self.plus_ratio if "lora_B" in name else 1.0

    def state_dict(self, network: nn.Module) -> dict[str, Any]:
        """Return EVA's ranks, and the factors that PiSSA or OLoRA took out of the backbone."""
        if self.needs_data:
            return {"ranks": Ranks.of(peft_config_of(network, self.name))._asdict()}
        if self._moves_base:
            return {"taken": {name: [f.clone() for f in layer.taken] for name, layer in tuner_layers(network)}}
        return {}

    def load_state_dict(self, network: nn.Module, state: dict[str, Any]) -> None:
        """Restore EVA's ranks, or take the saved factors out of the backbone instead of this machine's own."""
        if "ranks" in state:
            conform(network, Ranks(**state["ranks"]), self.name)
        if "taken" in state:
            for name, layer in tuner_layers(network):
                a, b = state["taken"][name]
                take_out(layer, a, b, self.name)

    def _export(self, network: nn.Module) -> tuple["PeftConfig", dict[str, Tensor]]:
        config: Any
        config, tensors = super()._export(network)
        config.init_lora_weights = True  # whoever opens it loads weights, and needs no random ones
        if not self._moves_base:
            return config, tensors
        for name, layer in tuner_layers(network):
            a, b = layer.taken
            key_a, key_b = f"{name}.lora_A.weight", f"{name}.lora_B.weight"
            tensors[key_a] = torch.cat([tensors[key_a], a.to(tensors[key_a])])
            tensors[key_b] = torch.cat([tensors[key_b], -b.to(tensors[key_b])], dim=1)
        # Twice the rank must leave the scale as it was, also where a pattern sets one of the two.
        factor = math.sqrt(2) if config.use_rslora else 2
        config.r, config.lora_alpha = 2 * config.r, factor * config.lora_alpha
        config.rank_pattern = {key: 2 * rank for key, rank in config.rank_pattern.items()}
        config.alpha_pattern = {key: factor * alpha for key, alpha in config.alpha_pattern.items()}
        return config, tensors

    def _import(self, network: nn.Module, saved: "PeftConfig", tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        if self.needs_data:
            conform(network, Ranks.of(saved), self.name)
        with torch.no_grad():
            for name, layer in self._layers(network):
                _check_scale(name, layer.scaling[self.name], rank_and_scale(saved, base_name(name, layer))[2])
                if self._moves_base:
                    split(name, layer, tensors, self.init, self.name)
        return tensors

    def _layers(self, network: nn.Module) -> Iterator[tuple[str, Any]]:
        """Yield the layers that this adapter is on; others of the network may be on more."""
        yield from ((name, layer) for name, layer in tuner_layers(network) if self.name in layer.r)

    def _combine(self, layer: Any, weight: Tensor) -> Tensor:
        combined = super()._combine(layer, weight)
        if self.name not in layer.lora_magnitude_vector:
            return combined
        # As in DoRA's section 4.3, the norm is taken as a constant.
        scale: Tensor = layer.lora_magnitude_vector[self.name].weight / combined.detach().norm(dim=1)
        return scale.unsqueeze(1) * combined


class DoRA(LoRA):
    """LoRA on the direction of each weight row, with a learned length (https://arxiv.org/abs/2402.09353).

    Takes the settings of ``LoRA``.
    """

    use_dora = True


def _check_patterns(key: str, pattern: dict[str, Any], network: nn.Module) -> None:
    from peft.utils.other import get_pattern_key

    names = [base_name(name, layer) for name, layer in tuner_layers(network)]
    for wanted in pattern:
        if not any(get_pattern_key([wanted], name) == wanted for name in names):
            raise ConfigError(f"adapter.{key}: {wanted!r} fits no adapted layer; nearest: {nearest(wanted, names)}")


def _check_scale(name: str, expected: float, scale: float) -> None:
    if not math.isclose(scale, expected, rel_tol=1e-6):
        scales = f"a scale of {scale:g} at {name}, the configuration gives {expected:g}"
        raise ConfigError(f"adapter.alpha: what was saved has {scales}; use the run's own config.yaml")


def _reset_magnitude(name: str, layer: Any, adapter: str) -> None:
    """Measure DoRA's lengths in float32; PEFT does it in the backbone's dtype, which shifts a 16-bit model."""
    from peft.utils.integrations import dequantize_module_weight

    if adapter not in layer.lora_magnitude_vector:
        return
    delta: Tensor = layer.get_delta_weight(adapter).float()
    weight = dequantize_module_weight(layer.get_base_layer()).float() + delta
    lengths = weight.norm(dim=1)
    if not lengths.is_meta and not bool((lengths > 0).all()):
        rows = (lengths == 0).nonzero().flatten().tolist()[:3]
        raise ConfigError(f"adapter: DoRA divides by the length of a row, but rows {rows} of {name} are zero; use LoRA")
    layer.lora_magnitude_vector[adapter].weight.data = lengths
