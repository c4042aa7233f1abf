"""Opens a run folder again: its model with the trained weights, and its data."""

from __future__ import annotations

from argparse import ArgumentError
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
from lit_llm.models.checkpoints import check_checkpoint
from lit_llm.report.places import located
from lit_llm.seeding import global_seed, seeded


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
    config = run_config(folder)
    if backbone:
        _replace(config["model"]["init_args"], backbone)
    seed = config.get("seed_everything")
    # Random weights, where a base has some, follow from the run's seed and not from that of this process.
    with seeded(seed if isinstance(seed, int) and not isinstance(seed, bool) else global_seed()):
        model, data = _build(config, folder)
        if trainer is not None:
            _open_for(trainer, model)
        else:
            _open_as_trained(model, str(config.get("trainer", {}).get("precision") or "32-true"))
        data.take_model(model)
        if checkpoint != "none":
            _load(model, data, folder / f"{checkpoint}.ckpt")
    if trainer is not None:
        trainer.precision_plugin.convert_module(model)
        model.to(trainer.strategy.root_device)
    model.eval()
    return Run(folder, model, data)


def open_settings(folder: str | Path) -> tuple[LitLM, LMData]:
    """Return model and data of a run as its ``config.yaml`` describes them: its tokenizer opened, no weight read.

    Raises:
        ConfigError: if the folder holds no run, or one that this version cannot build.
    """
    folder = Path(folder)
    model, data = _build(run_config(folder), folder)
    data.take_model(model)
    return model, data


def _build(config: dict[str, Any], folder: Path) -> tuple[LitLM, LMData]:
    """Return model and data of a configuration, nothing of them opened yet."""
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_lightning_class_args(LitLM, "model", subclass_mode=True)
    parser.add_lightning_class_args(LMData, "data", subclass_mode=True)
    try:
        parts = parser.instantiate_classes(parser.parse_object({key: config[key] for key in ("model", "data")}))
    except (ArgumentError, KeyError, TypeError, ValueError) as error:
        said = " ".join(str(error).split())[:400]
        raise ConfigError(f"{folder / 'config.yaml'}: cannot be used with this version: {said}") from error
    return parts.model, parts.data


def _open_for(trainer: Trainer, model: LitLM) -> None:
    """Build a network as the trainer would."""
    model.trainer = trainer
    with trainer.strategy.tensor_init_context(), trainer.precision_plugin.module_init_context():
        model.configure_model()


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
    own = run_config(folder).get("trainer") or {}
    settings = {key: own[key] for key in ("precision", "accelerator") if own.get(key) is not None}
    return Trainer(**settings, devices=1, logger=False, enable_checkpointing=False, enable_progress_bar=False)


def run_config(folder: str | Path) -> dict[str, Any]:
    """Return what a run's ``config.yaml`` says, with paths that work from any folder.

    Raises:
        ConfigError: if there is none, or it is no YAML mapping.
    """
    path = Path(folder) / "config.yaml"
    if not path.is_file():
        raise ConfigError(f"run: there is no {path}: name the folder of a run, such as checkpoints/extraction_tiny")
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(config, dict):
        raise ConfigError(f"{path}: holds no configuration; is it the file that fit wrote?")
    return located(config, Path(folder))


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
        if path.name == "best.ckpt" and (path.parent / "last.ckpt").exists():
            raise ConfigError(
                f"run: there is no {path}: the run was stopped before its first validation: use --checkpoint last, "
                "or go on with fit --ckpt_path last"
            )
        raise ConfigError(f"run: there is no {path}: the run was stopped before its first checkpoint; go on with fit")
    check_checkpoint(path, resumes=False)
    state = torch.load(path, map_location="cpu", weights_only=True)
    model.on_load_checkpoint(state)
    model.load_state_dict(state["state_dict"])
    for key, saved in state.items():
        if key == type(data).__qualname__:
            data.load_state_dict(saved)
