"""VeRA: two shared random matrices, and learned vectors that scale them."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from lit_llm.adapters.peft_base import PeftAdapter
from lit_llm.errors import ConfigError

# Annotations are evaluated here: postponed ones would make jsonargparse import what this block guards.
if TYPE_CHECKING:
    from peft import PeftConfig


class VeRA(PeftAdapter):
    """Vector-based random matrix adaptation, ``W + Λ_b·B·Λ_d·A`` (https://arxiv.org/abs/2310.11454).

    ``A`` and ``B`` are random, frozen, as large as the largest adapted layer needs, and cut to size for the others.
    So little learns that the rank is large and the learning rate some ten times LoRA's.

    Args:
        r: rank of the shared projections.
        dropout: dropout on the adapter's input.
        d_initial: where the vector ``d`` starts; ``b`` starts at zero.
        projection_seed: seed of the shared projections; they are saved as well.
        target_modules: names of linear layers to adapt; by default, or with ``all-linear``, each one but routers and
            the output head.
        modules_to_save: names of modules that learn whole beside the adapter.
        bias: which bias terms learn: ``none``, ``all`` of the model, or those of the ``adapted`` layers.
    """

    _bias_prefix: ClassVar[str] = "vera"

    def __init__(
        self,
        r: int = 256,
        dropout: float = 0.0,
        d_initial: float = 0.1,
        projection_seed: int = 0,
        target_modules: list[str] | Literal["all-linear"] | None = None,
        modules_to_save: list[str] | None = None,
        bias: Literal["none", "all", "adapted"] = "none",
    ) -> None:
        super().__init__(target_modules, modules_to_save, bias)
        if r < 1:
            raise ConfigError(f"adapter.r: a rank is at least 1, got {r}")
        self.r, self.dropout, self.d_initial, self.projection_seed = r, dropout, d_initial, projection_seed

    def _config(self, **shared: Any) -> "PeftConfig":
        from peft import VeraConfig

        return VeraConfig(
            r=self.r,
            vera_dropout=self.dropout,
            d_initial=self.d_initial,
            projection_prng_key=self.projection_seed,
            save_projection=True,
            **shared,
        )
