"""Opens a run folder again: its model with the trained weights, and its data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
import yaml
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser

from lit_llm.data.base import LMData
from lit_llm.errors import ConfigError
from lit_llm.models.backbone import Dtype, weight_dtype
from lit_llm.models.base import LitLM


@dataclass
class Run:
    """A finished run.

    Attributes:
        folder: where it lies.
        model: with its network built and the trained weights loaded, in eval mode.
        data: configured as in training, its tokenizer set, no file read yet.
    """

    folder: Path
    model: LitLM
    data: LMData


def open_run(
    folder: str | Path, checkpoint: str = "best", trainer: Trainer | None = None, backbone: str | None = None
) -> Run:
    """Return a run as its ``config.yaml`` describes it.

    Args:
        folder: the run folder.
        checkpoint: ``best``, ``last``, or ``none`` for the base as it is.
        trainer: gives the device and the dtype of the weights; without one, plain weights are those of training, in
            float32 on the CPU.
        backbone: a whole model that answers in place of the run's; then ``checkpoint`` is ``none``.

    Raises:
        ConfigError: if the folder holds no run, or its checkpoint does not fit.
    """
    folder = Path(folder)
    config = _config(folder / "config.yaml")
    if backbone:
        _replace(config["model"]["init_args"], backbone)
    parser = LightningArgumentParser()
    parser.add_lightning_class_args(LitLM, "model", subclass_mode=True)
    parser.add_lightning_class_args(LMData, "data", subclass_mode=True)
    parts = parser.instantiate_classes(parser.parse_object({key: config[key] for key in ("model", "data")}))
    model, data = parts.model, parts.data
    if trainer is not None:
        model.trainer = trainer
        model.configure_model()
    else:
        _open_as_trained(model, str(config.get("trainer", {}).get("precision") or "32-true"))
    data.tokenizer = model.tokenizer
    if checkpoint != "none":
        _load(model, data, folder / f"{checkpoint}.ckpt")
    if trainer is not None:
        model.to(trainer.strategy.root_device)
    model.eval()
    return Run(folder, model, data)


def _open_as_trained(model: LitLM, precision: str) -> None:
    """Build a network without a trainer: 16 bits may have rounded in training what a file holds in more."""
    if model.quantizer or model.loading.dtype != "auto":
        model.configure_model()
        return
    dtype = weight_dtype(model.loading, precision, learns_whole=model.adapter.folder == "model")
    model.loading = replace(model.loading, dtype=cast("Dtype", str(dtype).removeprefix("torch.")))
    model.configure_model()
    model.language_model.float()


def single_trainer(folder: str | Path) -> Trainer:
    """Return a trainer with the precision and accelerator of a run, on one device, that writes nothing."""
    own = _config(Path(folder) / "config.yaml").get("trainer", {})
    settings = {key: own[key] for key in ("precision", "accelerator") if own.get(key) is not None}
    return Trainer(**settings, devices=1, logger=False, enable_checkpointing=False, enable_progress_bar=False)


def _config(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise ConfigError(f"--run: there is no {path}: name the folder of a run, such as checkpoints/extraction_tiny")
    config: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return config


def _replace(settings: dict[str, Any], backbone: str) -> None:
    """Let a whole model stand where a run's base, adapter and rounding did, with weights of the same dtype."""
    whole = (settings.get("adapter") or {}).get("class_path", "").endswith(".Full")
    adapter = {"class_path": f"lit_llm.adapters.{'Full' if whole else 'LoRA'}"}
    settings |= {"backbone": backbone, "adapter": adapter, "qat": None, "quantizer": None}
    own = ("random_init", "config_overrides", "tokenizer", "revision")
    loading = settings.get("loading") or {}
    settings["loading"] = {key: value for key, value in loading.items() if key not in own}


def _load(model: LitLM, data: LMData, path: Path) -> None:
    if not path.exists():
        raise ConfigError(f"--run: there is no {path}: the run was stopped before its first checkpoint; go on with fit")
    state = torch.load(path, map_location="cpu", weights_only=True)
    model.on_load_checkpoint(state)
    model.load_state_dict(state["state_dict"])
    for key, saved in state.items():
        if key == type(data).__qualname__:
            data.load_state_dict(saved)
