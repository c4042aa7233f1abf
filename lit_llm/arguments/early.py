"""What can be told of a command line before PyTorch and Lightning are imported, which takes ten times as long."""

from __future__ import annotations

from collections.abc import Sequence

from lit_llm.arguments import inputs, ranges
from lit_llm.arguments.foreign import named
from lit_llm.arguments.misplaced import wrong_place
from lit_llm.arguments.run_files import check_all
from lit_llm.errors import ConfigError
from lit_llm.paths import run_folder

EXAMPLE = "configs/run/extraction_tiny.yaml"
OWN = {"audit": ("--near", "--report")}
"""Options of a verb that mean here what they say, beside those of the Lightning verbs."""


def check_run(verb: str, options: Sequence[str]) -> None:
    """Check the command line of a verb that takes run files.

    Args:
        verb: such as ``fit``.
        options: what follows it.

    Raises:
        UserError: for an option of another tool, a word at the wrong place, or a file that is not there.
    """
    foreign = [(name, here) for name, here in named(options) if name not in OWN.get(verb, ())]
    if len(foreign) == 1:
        raise ConfigError(f"{foreign[0][0]}: an option of other tools; type {foreign[0][1]}")
    if foreign:
        width = max(len(name) for name, _ in foreign)
        lines = "\n".join(f"  {name:<{width}}  {here}" for name, here in foreign)
        raise ConfigError(f"these are options of other tools; type instead\n{lines}")
    if misplaced := wrong_place(verb, options):
        raise ConfigError(misplaced)
    asks = any(word.endswith("help") or ".help=" in word or word.startswith("--print_") for word in options)
    if not asks and not any(word.startswith(("--config", "-c", "--model", "--data")) for word in options):
        raise ConfigError(f"config: not set; name a run file, such as --config {EXAMPLE}")
    check_all(options)
    if not asks:
        said = inputs.settings(options)
        inputs.check(verb, said)
        ranges.check(said)


def check_command(options: Sequence[str]) -> None:
    """Check the run folder that a verb without run files is given; ``--run`` names one in all of them.

    Raises:
        ConfigError: if it is not there, or holds no run.
    """
    for word, following in zip(options, [*options[1:], ""], strict=False):
        name, equals, value = word.partition("=")
        if name == "--run" and (equals or following):
            try:
                run_folder(value if equals else following)
            except ConfigError as error:
                raise ConfigError(f"--run: {error}") from error
