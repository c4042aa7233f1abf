"""The data of a run file, for verbs that need neither its model nor its trainer."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jsonargparse import ActionConfigFile  # type: ignore[attr-defined]
from lightning.pytorch import Trainer

from lit_llm.arguments.parser import Parser, unbuilt
from lit_llm.arguments.run_files import check_all
from lit_llm.data.base import LMData
from lit_llm.models.base import LitLM


def open_data(prog: str, options: Sequence[str]) -> LMData:
    """Return the data module that a run file and what overrides it describe.

    Args:
        prog: how the program is called in messages.
        options: ``--config FILE`` and options of the Lightning verbs.

    Raises:
        UserError: if the configuration or a constructor refuses something.
    """
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
    config = parser.parse_args(list(options))
    for part in ("model", "trainer"):
        config.pop(part, None)
    try:
        data: LMData = parser.instantiate_classes(config).data
    except (TypeError, ValueError) as error:
        raise unbuilt(error, config.as_dict(), list(options)) from error
    return data
