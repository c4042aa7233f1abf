"""Full fine-tuning: every weight of the backbone learns."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torch import nn

from lit_llm.adapters.base import Adapter, causal_lm, is_quantized, matches, nearest
from lit_llm.errors import ConfigError
from lit_llm.storage import as_created

# Annotations are evaluated here: postponed ones would make jsonargparse import what this block guards.
if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Full(Adapter):
    """Train the whole backbone; what is saved is a plain Hugging Face folder.

    Args:
        frozen: names of modules that do not learn, such as ``embed_tokens``.
    """

    folder = "model"

    def __init__(self, frozen: list[str] | None = None) -> None:
        self.frozen = frozen or []

    def wrap(self, model: "PreTrainedModel") -> nn.Module:
        """Let all weights learn, except those under ``frozen``.

        Raises:
            ConfigError: the backbone is quantized, or a name in ``frozen`` fits no module.
        """
        for key, module in model.named_modules():
            if isinstance(module, nn.Linear) and is_quantized(module):
                raise ConfigError(f"adapter: {key} is quantized and cannot learn whole; use LoRA, or no quantizer")
        model.requires_grad_(True)
        names = [key for key, _ in model.named_modules()]
        for name in self.frozen:
            hits = [key for key in names if matches(name, key)]
            if not hits:
                known = nearest(name, (key.rpartition(".")[2] for key in names))
                raise ConfigError(f"adapter.frozen: {name!r} is no module of the model; nearest: {known}")
            for key in hits:
                model.get_submodule(key).requires_grad_(False)
        return cast(nn.Module, model)

    def save(self, network: nn.Module, folder: Path) -> None:
        """Write a folder that transformers alone can open (without the tokenizer)."""
        folder.mkdir(parents=True, exist_ok=True)
        causal_lm(network).save_pretrained(folder, safe_serialization=True)
        as_created(folder)

    def load(self, network: nn.Module, folder: Path) -> None:
        """Read the folder's safetensors into the network.

        Raises:
            ConfigError: the folder holds none, or those of another architecture.
        """
        if not any(folder.glob("*.safetensors")):
            raise ConfigError(f"adapter: {folder} holds no safetensors; is the run finished?")
        model = causal_lm(network)
        # By transformers, which stores the experts of some families one by one, and fuses them when it reads them.
        settings: dict[str, Any] = {"config": model.config, "dtype": model.dtype, "use_safetensors": True}
        read: Any = type(model).from_pretrained(
            folder, output_loading_info=True, ignore_mismatched_sizes=True, **settings
        )
        saved, info = read
        wrong = [str(key) for kind in ("missing_keys", "unexpected_keys", "mismatched_keys") for key in info[kind]]
        if wrong:
            raise ConfigError(f"adapter: {folder} is another architecture: {wrong[0]} ({len(wrong)} names differ)")
        network.load_state_dict(saved.state_dict())

    def merge(self, network: nn.Module) -> "PreTrainedModel":
        """Return the network itself."""
        return causal_lm(network)
