"""The Lightning verbs ``fit | validate | test | predict`` over run files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from lit_llm.arguments import Parser, check_all, configuration_errors, unbuilt
from lit_llm.arguments.resuming import changes
from lit_llm.callbacks import PredictionWriter, RunCheckpoint
from lit_llm.callbacks.essential import complete
from lit_llm.callbacks.lock import marks
from lit_llm.callbacks.loggers import loggers_of, name_runs
from lit_llm.callbacks.replacing import REPLACED, held
from lit_llm.callbacks.run_folder import Resumption, RunFolder
from lit_llm.callbacks.waiting import hold_back
from lit_llm.data.base import LMData
from lit_llm.errors import ConfigError
from lit_llm.models.base import LitLM
from lit_llm.models.checkpoints import check_checkpoint
from lit_llm.storage import present


class LitCLI(LightningCLI):
    """LightningCLI with run folders.

    ``--ckpt_path`` takes ``best``, ``last``, ``none`` or a file. It defaults to ``none`` for ``fit`` and to ``best``
    for the other verbs, so that an untrained model is never measured by mistake.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._looked_at: set[str] = set()
        super().__init__(*args, **kwargs)

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Return the verb that was asked for, because a parser of all four takes four times as long to make."""
        every: dict[str, set[str]] = LightningCLI.subcommands()
        asked = sys.argv[1] if len(sys.argv) > 1 else ""
        return {asked: every[asked]} if asked in every else every

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
        name_runs(trainer.logger, trainer.default_root_dir)
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
        except (ImportError, MisconfigurationException, TypeError, ValueError) as error:
            raise unbuilt(error, self.config[self.subcommand].as_dict(), sys.argv[1:]) from error

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Put the events of ``fit`` into the run folder, beside whatever logger the run file names."""
        config = self._get(self.config_init, "trainer")
        kwargs["logger"] = loggers_of(config.get("logger"), config.get("default_root_dir"), str(self.subcommand))
        return super().instantiate_trainer(**kwargs)

    def after_instantiate_classes(self) -> None:
        """Check that model and data fit each other before anything heavy loads."""
        tasks = {metric.task for metric in getattr(self.model, "metrics", [])}
        if tasks and (unmeasured := self.datamodule.tasks - tasks):
            raise ConfigError(
                f"model.init_args.metrics measure {sorted(tasks)}, but the task of {type(self.datamodule).__name__} is "
                f"{sorted(unmeasured)[0]!r}: use metrics of that task"
            )
        callbacks = self.trainer.callbacks  # type: ignore[attr-defined]
        # The first to be called: what others write belongs to the run that it begins.
        callbacks.sort(key=lambda callback: not isinstance(callback, RunFolder))
        hold_back(self.trainer)
        for callback in callbacks:
            for option, attribute in (("predictions", "predictions_path"), ("flat", "flat"), ("excel", "excel")):
                if isinstance(callback, PredictionWriter) and self._get(self.config, option):
                    setattr(callback, attribute, self._get(self.config, option))

    def before_fit(self) -> None:
        """Refuse to train over another run, or to go on with other settings than it has.

        Raises:
            ConfigError: if the folder holds a run and neither resuming nor overwriting was asked for, or both were, or
                a setting that cannot change has changed.
        """
        if self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        begun = next(c for c in self.trainer.callbacks if isinstance(c, RunFolder))  # type: ignore[attr-defined]
        begun.seen = marks(self.folder)
        overwrite = self._get(self.config, "overwrite")
        checkpoint = self._checkpoint(self._get(self.config, "ckpt_path"))
        own = checkpoint is not None and _within(Path(checkpoint), self.folder)
        if own and overwrite:
            raise ConfigError(
                f"--overwrite true replaces the run that --ckpt_path {checkpoint} goes on with: leave one of them out"
            )
        if overwrite and 0 in (self.trainer.max_epochs, self.trainer.max_steps):
            raise ConfigError(
                "--overwrite true: trainer.max_epochs or trainer.max_steps is 0, so nothing would be trained in "
                "place of the run that is there: raise it, or leave --overwrite out"
            )
        kept = held(self.folder)
        if kept and not own and not overwrite:
            raise ConfigError(
                f"trainer.default_root_dir: {self.folder} already holds a run ({kept[0]}): continue it with "
                "--ckpt_path last, replace it with --overwrite true, or name another folder with "
                "--trainer.default_root_dir"
            )
        if own:
            settings = yaml.safe_load(begun.parser.dump(begun.config, skip_unset=False))
            begun.resumption = Resumption(Path(str(checkpoint)), changes(self.folder, settings))

    def _parse_ckpt_path(self) -> None:
        """Do nothing: checkpoints hold no arguments, and what is none is said once it is looked at."""

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        kwargs = super()._prepare_subcommand_kwargs(subcommand)
        kwargs["ckpt_path"] = self._checkpoint(kwargs.get("ckpt_path"))
        kwargs["weights_only"] = True
        if subcommand == "predict":
            # Rows go to the file as they are made; keeping them too would fill the memory.
            kwargs["return_predictions"] = False
        return kwargs

    def _checkpoint(self, given: str | None) -> str | None:
        """Return the file that ``--ckpt_path`` means, once it has been looked at."""
        name = given or ("none" if self.subcommand == "fit" else "best")
        if name == "none":
            return None
        path = self.folder / f"{name}.ckpt" if name in ("best", "last") else Path(name).expanduser()
        if found := present(path):
            if str(found) not in self._looked_at:
                check_checkpoint(found, resumes=self.subcommand == "fit")
            self._looked_at.add(str(found))
            return str(found)
        if name == "best" and present(self.folder / "last.ckpt"):
            raise ConfigError(
                f"ckpt_path: there is no {path}: the run was stopped before its first validation: use --ckpt_path last "
                "to take the weights as they are, or go on with fit --ckpt_path last"
            )
        raise ConfigError(
            f"ckpt_path: there is no {path}: train the run first (python -m lit_llm fit --config …), name a "
            "checkpoint file, or use --ckpt_path none for the base as it is"
        )


def _within(path: Path, folder: Path) -> bool:
    """Whether a checkpoint is one of the run in a folder, not of an earlier one that was replaced."""
    path, replaced = path.resolve(), (folder / REPLACED).resolve()
    return path.is_relative_to(folder.resolve()) and not path.is_relative_to(replaced)


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
            save_config_callback=RunFolder,
            trainer_defaults={"use_distributed_sampler": False},
            seed_everything_default=0,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            parser_class=Parser,
            parser_kwargs={"prog": "python -m lit_llm"},
        )
