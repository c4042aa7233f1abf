"""The argument parser of the Lightning verbs, whose errors fit on a few lines."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, NoReturn

import yaml
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser

from lit_llm.arguments.here import teach_jsonargparse
from lit_llm.arguments.mistakes import Problem, explain, nearest
from lit_llm.arguments.run_files import find, named_in
from lit_llm.errors import ConfigError, UserError
from lit_llm.paths import similar

teach_jsonargparse()
# A configuration is saved as YAML, which knows no enumerations, such as the interval of Lightning's Timer.
yaml.SafeDumper.add_multi_representer(Enum, lambda dumper, member: dumper.represent_data(member.value))


class Refused(argparse.ArgumentError):
    """The error of a parser for the arguments of one class, which the parser around it completes."""

    def __init__(self, message: str, problem: Problem, parser: Parser) -> None:
        super().__init__(None, message)
        self.problem, self.parser = problem, parser


class Parser(LightningArgumentParser):
    """A parser that answers a mistake with the key, its place and the nearest right one.

    ``LIT_LLM_DEBUG=1`` shows instead what jsonargparse says, which holds everything that it tried.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # A prefix of an option is a mistyped option.
        super().__init__(*args, allow_abbrev=False, **kwargs)
        self.owner: Any = None

    def add_class_arguments(self, theclass: Any, nested_key: str | None = None, *args: Any, **kwargs: Any) -> list[str]:
        """Add the arguments of a class, and remember whose they are."""
        self.owner = theclass if nested_key is None else self.owner
        added: list[str] = super().add_class_arguments(theclass, nested_key, *args, **kwargs)
        return added

    def parse_args(self, args: Any = None, *others: Any, **kwargs: Any) -> Any:
        """Parse options; of a class within a class, jsonargparse hands on a null as the text ``None``."""
        if self.owner is not None and args:
            args = [re.sub(r"=None$", "=null", argument) for argument in args]
        return super().parse_args(args, *others, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise a ConfigError, or in the parser of one class a part of one."""
        if isinstance(ex, Refused) and ex.parser is self:
            raise ex
        problem = self._problem(message, ex)
        if not self.exit_on_error:
            raise Refused(message, problem, self) from ex
        raise ConfigError(message if os.environ.get("LIT_LLM_DEBUG") == "1" else said(problem, sys.argv[1:])) from ex

    def _problem(self, message: str, ex: Exception | None) -> Problem:
        named = re.search(r'(?:Parser key|Key) "([^"]+)"|^--([\w.]+)\.help: ', message)
        key = (named[1] or named[2]) if named else ""
        inner = next((error for error in _chain(ex) if isinstance(error, Refused)), None)
        if inner is None:
            return explain(self, self.owner, key, message)
        step = "" if dataclasses.is_dataclass(inner.parser.owner) or inner.problem.beside else "init_args."
        return dataclasses.replace(inner.problem, key=f"{key}.{step}{inner.problem.key}", beside=False)


def said(problem: Problem, arguments: list[str]) -> str:
    """Return a problem as text, with where on the command line or in which file it is."""
    place = _place(problem, arguments)
    key = f"{problem.key}{f' ({place})' if place else ''}"
    folder = Path(place.rpartition(":")[0]).parent
    hint = similar(folder / problem.absent) if problem.absent else ""
    return f"{key}: {problem.text}{hint}" if key else problem.text


def unbuilt(error: Exception, config: Any, arguments: list[str]) -> UserError:
    """Return what a constructor refused as an error of the configuration.

    Args:
        error: as jsonargparse or Lightning passed it on.
        config: the configuration of the verb, as plain dicts.
        arguments: the command line after the program.
    """
    own = next((cause for cause in _chain(error) if isinstance(cause, UserError)), None)
    if own:
        return own
    text = " ".join(str(list(_chain(error))[-1]).split())[:400]
    if "None" in text and (key := next(_nulls(config), None)):
        return ConfigError(said(Problem(key, "must not be null; leave it out for its default"), arguments))
    if lacking := _lacking(text):
        return ConfigError(said(lacking, arguments))
    names = [word for word in re.findall(r"\w+", text) if word in inspect.signature(Trainer).parameters]
    key = f"trainer.{names[0]}" if names and "Trainer" not in names else "trainer"
    return ConfigError(said(Problem(key, f"{text} (LIT_LLM_DEBUG=1 shows where)"), arguments))


def _lacking(text: str) -> Problem | None:
    """Return what Lightning says of hardware that is not there, with the remedy."""
    if found := re.search(r"requested gpu: (.+?) But your machine only has: \[(.*?)\]", text):
        there = len([name for name in found[2].split(",") if name.strip()])
        return Problem("trainer.devices", f"asks for the GPUs {found[1]}, but there are {there}: set it to {there}")
    if not re.search(r"No supported gpu backend|Accelerator` can not run on your|GPUs requested but none", text):
        return None
    import torch

    with_cuda = torch.version.cuda is not None
    why = "nvidia-smi has to list one" if with_cuda else "this build of PyTorch is one for CPUs alone"
    return Problem(
        "trainer.accelerator",
        f"there is no such device that PyTorch {torch.__version__} can use ({why}): set it to cpu, or to auto for the "
        "best there is",
    )


@contextmanager
def configuration_errors(arguments: list[str]) -> Iterator[None]:
    """Turn what Lightning says of a setting while it runs into an error of the configuration."""
    try:
        yield
    except MisconfigurationException as error:
        raise unbuilt(error, {}, arguments) from error
    except RuntimeError as error:
        # A metric that is never logged has a mistyped name; any other error here is one of the code.
        if not str(error).startswith("Early stopping conditioned"):
            raise
        wrong, _, *logged = re.findall(r"`([^`]+)`", str(error))
        near = nearest(wrong, logged)
        text = f"no metric is called {wrong}; " + (f"did you mean '{near}'?" if near else f"there are {logged}"[:400])
        raise ConfigError(said(Problem("trainer.callbacks.init_args.monitor", text, wrong), arguments)) from error


def _nulls(config: Any, prefix: str = "") -> Iterator[str]:
    """Yield the keys that are null although their class has another default."""
    if not isinstance(config, dict):
        return
    defaults = _defaults(config["class_path"]) if isinstance(config.get("class_path"), str) else {}
    for key, value in config.items():
        if key == "init_args" and defaults:
            yield from (
                f"{prefix}{key}.{name}" for name in value if value[name] is None and defaults.get(name) is not None
            )
        yield from _nulls(value, f"{prefix}{key}.")


def _defaults(class_path: str) -> dict[str, Any]:
    home, _, name = class_path.rpartition(".")
    kinds = reversed(getattr(sys.modules[home], name).__mro__[:-1])
    found = [parameter for kind in kinds for parameter in inspect.signature(kind).parameters.values()]
    return {parameter.name: parameter.default for parameter in found if parameter.default is not parameter.empty}


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _place(problem: Problem, arguments: list[str]) -> str:
    """Return ``on the command line``, ``file:line``, or nothing where the key cannot be found."""
    options = {_plain(name.partition("=")[0][2:].rstrip("+")) for name in arguments if name.startswith("--")}
    keys = {_plain(key) for key in problem.key.split(", ")}
    if keys & (options | set(arguments)):
        return "on the command line"
    files = [file for file in reversed(named_in(arguments)) if file.is_file()]
    # A list or mapping does not stand in the file as the error writes it.
    needle = None if str(problem.needle).startswith(("[", "{")) else problem.needle
    for file in files:
        if found := set(find(file, problem.key, needle)):
            return found.pop() if len(found) == 1 else str(file)
    around = any(key.startswith(f"{option}.") for key in keys for option in options)
    return "on the command line" if around else ""


def _plain(key: str) -> str:
    """Return a key without what may be left out of it on the command line, or stands for it."""
    return re.sub(r"\.(init_args|class_path|help)\b", "", key)
