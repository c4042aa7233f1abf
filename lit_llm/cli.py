"""The Lightning verbs ``fit | validate | test | predict`` over run files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback

from lit_llm.arguments import Parser, check_all, configuration_errors, unbuilt
from lit_llm.callbacks import PredictionWriter, RunCheckpoint
from lit_llm.callbacks.essential import complete
from lit_llm.data.base import LMData
from lit_llm.errors import ConfigError
from lit_llm.models.base import LitLM


class RunConfig(SaveConfigCallback):
    """Writes ``config.yaml`` into the run folder on ``fit`` alone, so that it stays the truth about the weights."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the configuration once the run begins."""
        if stage == "fit" and trainer.is_global_zero:
            folder = Path(trainer.default_root_dir)
            folder.mkdir(parents=True, exist_ok=True)
            # One file: a run must not depend on fragments that may change later.
            options: Any = {"overwrite": True, "multifile": False, "skip_unset": False}
            self.parser.save(self.config, folder / "config.yaml", **options)


class LitCLI(LightningCLI):
    """LightningCLI with run folders.

    ``--ckpt_path`` takes ``best``, ``last``, ``none`` or a file. It defaults to ``none`` for ``fit`` and to ``best``
    for the other verbs, so that an untrained model is never measured by mistake.
    """

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the arguments of run folders."""
        parser.add_argument("--predictions", type=str | None, help="CSV file that predict writes")
        parser.add_argument("--flat", type=bool, default=False, help="predict: also FILE.flat.csv, meta as columns")
        parser.add_argument("--excel", type=bool, default=False, help="predict: also FILE.excel.csv for spreadsheets")
        parser.add_argument("--overwrite", type=bool, default=False, help="let fit replace a run in its folder")

    @property
    def folder(self) -> Path:
        """The run folder, ``trainer.default_root_dir``."""
        return Path(self.trainer.default_root_dir)

    def before_instantiate_classes(self) -> None:
        """Add the callbacks that make a run a run; choose float16 where a GPU has no bfloat16, and say so."""
        import torch

        trainer = self.config[self.subcommand].trainer
        unwanted = trainer.enable_checkpointing is False or trainer.barebones
        trainer.callbacks = complete(trainer.callbacks, without=[RunCheckpoint] if unwanted else [])
        half = str(trainer.precision or "").startswith("bf16")
        if half and torch.cuda.is_available() and not torch.cuda.is_bf16_supported(including_emulation=False):
            trainer.precision = trainer.precision.replace("bf16", "16")
            print(f"trainer.precision: this GPU has no bfloat16; using {trainer.precision}", file=sys.stderr)

    def instantiate_classes(self) -> None:
        """Build trainer, model and data; what their constructors refuse is an error of the configuration.

        Raises:
            UserError: that of a constructor, or one that names the key.
        """
        try:
            super().instantiate_classes()
        except (MisconfigurationException, TypeError, ValueError) as error:
            raise unbuilt(error, self.config[self.subcommand].as_dict(), sys.argv[1:]) from error

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Put the events of ``fit`` into the run folder, unless the run file says otherwise."""
        from lightning.pytorch.loggers import TensorBoardLogger

        config = self._get(self.config_init, "trainer")
        if self.subcommand != "fit":
            # What other verbs find is in results/: TensorBoard would show each as one more run.
            kwargs["logger"] = [x for x in _loggers(config.get("logger")) if not isinstance(x, TensorBoardLogger)]
        elif config.get("logger") in (None, True):
            kwargs["logger"] = TensorBoardLogger(config.get("default_root_dir") or ".", name="", version="")
        return super().instantiate_trainer(**kwargs)

    def after_instantiate_classes(self) -> None:
        """Check that model and data fit each other before anything heavy loads."""
        tasks = {metric.task for metric in getattr(self.model, "metrics", [])}
        if tasks and (unmeasured := self.datamodule.tasks - tasks):
            raise ConfigError(
                f"model.init_args.metrics measure {sorted(tasks)}, but the task of {type(self.datamodule).__name__} is "
                f"{sorted(unmeasured)[0]!r}: use metrics of that task"
            )
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            for option, attribute in (("predictions", "predictions_path"), ("flat", "flat"), ("excel", "excel")):
                if isinstance(callback, PredictionWriter) and self._get(self.config, option):
                    setattr(callback, attribute, self._get(self.config, option))

    def before_fit(self) -> None:
        """Refuse to train over another run.

        Raises:
            ConfigError: if the run folder holds a run and neither resuming nor overwriting was asked for.
        """
        held = [name for name in ("last.ckpt", "best.ckpt") if (self.folder / name).exists()]
        resuming = self._get(self.config, "ckpt_path") not in (None, "none")
        if held and not resuming and not self._get(self.config, "overwrite"):
            raise ConfigError(
                f"trainer.default_root_dir: {self.folder} already holds a run ({held[0]}): continue it with "
                "--ckpt_path last, replace it with --overwrite true, or name another folder with "
                "--trainer.default_root_dir"
            )

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        kwargs = super()._prepare_subcommand_kwargs(subcommand)
        kwargs["ckpt_path"] = self._checkpoint(kwargs.get("ckpt_path"))
        kwargs["weights_only"] = True
        if subcommand == "predict":
            # Rows go to the file as they are made; keeping them too would fill the memory.
            kwargs["return_predictions"] = False
        return kwargs

    def _checkpoint(self, given: str | None) -> str | None:
        name = given or ("none" if self.subcommand == "fit" else "best")
        if name == "none":
            return None
        path = self.folder / f"{name}.ckpt" if name in ("best", "last") else Path(name)
        if not path.exists():
            raise ConfigError(
                f"ckpt_path: there is no {path}: train the run first (python -m lit_llm fit --config …), name a "
                "checkpoint file, or use --ckpt_path none for the base as it is"
            )
        return str(path)


def _loggers(configured: Any) -> list[Any]:
    if isinstance(configured, bool) or configured is None:
        return []
    return configured if isinstance(configured, list) else [configured]


def main(args: Sequence[str] | None = None) -> None:
    """Run a verb.

    Args:
        args: the command line after ``python -m lit_llm``; by default that of the process.
    """
    if args is not None:
        sys.argv[1:] = list(args)
    check_all(sys.argv[1:])
    with configuration_errors(sys.argv[1:]):
        LitCLI(
            LitLM,
            LMData,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=RunConfig,
            trainer_defaults={"use_distributed_sampler": False},
            seed_everything_default=0,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            parser_class=Parser,
            parser_kwargs={"prog": "python -m lit_llm"},
        )
