"""The parts of a run file, for verbs that do not run it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from jsonargparse import ActionConfigFile  # type: ignore[attr-defined]
from lightning.pytorch import Trainer

from lit_llm.arguments.parser import Parser, unbuilt
from lit_llm.arguments.run_files import check_all
from lit_llm.data.base import LMData
from lit_llm.errors import ConfigError
from lit_llm.models.base import LitLM


def open_data(prog: str, options: Sequence[str]) -> LMData:
    """Return the data module that a run file and what overrides it describe.

    Args:
        prog: how the program is called in messages.
        options: ``--config FILE`` and options of the Lightning verbs.

    Raises:
        UserError: if the configuration or a constructor refuses something.
    """
    parser, config = _parsed(prog, options)
    for part in ("model", "trainer"):
        config.pop(part, None)
    try:
        data: LMData = parser.instantiate_classes(config).data
    except (TypeError, ValueError) as error:
        raise unbuilt(error, config.as_dict(), list(options)) from error
    return data


def open_parts(prog: str, options: Sequence[str]) -> tuple[LitLM, LMData, dict[str, Any]]:
    """Return model, data and the trainer's settings that a run file and what overrides it describe.

    Nothing is opened, no file is read, and no trainer is made, which would look for its devices.

    Args:
        prog: how the program is called in messages.
        options: ``--config FILE`` and options of the Lightning verbs.

    Raises:
        UserError: if the configuration or a constructor refuses something.
    """
    parser, config = _parsed(prog, options)
    trainer = config.pop("trainer").as_dict()
    if not config.get("model"):
        raise ConfigError(f"{prog}: the run file names no model: write model.class_path and model.init_args")
    try:
        parts = parser.instantiate_classes(config)
    except (TypeError, ValueError) as error:
        raise unbuilt(error, config.as_dict(), list(options)) from error
    return parts.model, parts.data, trainer


def _parsed(prog: str, options: Sequence[str]) -> tuple[Parser, Any]:
    """Return a parser of run files and what it makes of options."""
    sys.argv[1:] = [sys.argv[1] if len(sys.argv) > 1 else "", *options]
    check_all(list(options))
    parser = Parser(prog=prog)
    parser.add_argument("-c", "--config", action=ActionConfigFile, help="run file")
    for name, kind in (("seed_everything", bool | int), ("ckpt_path", str | None), ("predictions", str | None)):
        parser.add_argument(f"--{name}", type=kind, default=None)
    parser.add_argument("--overwrite", type=bool, default=False)
    parser.add_lightning_class_args(Trainer, "trainer")
    parser.add_lightning_class_args(LitLM, "model", subclass_mode=True, required=False)
    parser.add_lightning_class_args(LMData, "data", subclass_mode=True, required=True)
    return parser, parser.parse_args(list(options))
