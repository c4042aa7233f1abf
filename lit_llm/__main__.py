"""``python -m lit_llm VERB …``: lists the verbs and starts one, importing nothing that it does not need."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from lit_llm.arguments import early, short_help
from lit_llm.arguments.misplaced import TAKES_CONFIG, wrong_verb
from lit_llm.errors import UserError
from lit_llm.paths import option_at_home
from lit_llm.quiet import quiet
from lit_llm.version import __version__

VERBS: dict[str, tuple[str, str]] = {
    "init": ("lit_llm.commands.init", "make a folder with a run file from your own data"),
    "fit": ("lit_llm.cli", "fine-tune the model of a run file"),
    "validate": ("lit_llm.cli", "measure a checkpoint on the validation split"),
    "test": ("lit_llm.cli", "measure a checkpoint on the test splits"),
    "predict": ("lit_llm.cli", "write the answers of a checkpoint to a CSV file"),
    "ask": ("lit_llm.commands.ask", "answer texts with a run, one by one or line by line"),
    "serve": ("lit_llm.commands.serve", "answer over HTTP on this machine, as OpenAI's interface asks, and on a page"),
    "check": ("lit_llm.commands.check", "try with a base, in miniature, what a run does"),
    "compress": ("lit_llm.commands.compress", "turn a corpus into vectors that a run of ClaraLM finds and reads"),
    "prepare": ("lit_llm.commands.prepare", "turn clips into one array, or documents into passages and questions"),
    "split": ("lit_llm.commands.split", "divide a file into splits that share nothing"),
    "audit": ("lit_llm.commands.audit", "find rows that the splits of a run file share"),
    "compare": ("lit_llm.commands.compare", "score predictions, runs or stored folders and test their differences"),
    "gate": ("lit_llm.commands.gate", "fail where a run is not good enough, too slow, or has seen its test"),
    "report": ("lit_llm.commands.report", "write a page about a run: scores, curves, worst rows, settings"),
    "sheet": ("lit_llm.commands.sheet", "let people judge translations without knowing whose they are"),
    "synthesize": ("lit_llm.commands.synthesize", "turn predictions over monolingual text into training rows"),
    "export": ("lit_llm.commands.export", "write the weights of a run as a plain Hugging Face folder or GGUF file"),
    "quantize": ("lit_llm.commands.quantize", "write the weights of a run in 2 to 8 bits"),
}
"""Module and one-line help of each verb; ``lit_llm.cli`` is handed the verb too, a command only its options."""

LOOPS = "lit_llm.cli"
USAGE = "usage: python -m lit_llm VERB [options]"
USAGE_STATUS = 2
INTERRUPTED_STATUS = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Args:
        argv: the verb and its options; by default those of the process.

    Returns:
        The exit status: 0, 1 for an error that the user can mend, 2 for a wrong command line, 130 after Ctrl-C.
        Errors of the user are shown without a traceback unless ``LIT_LLM_DEBUG=1``.
    """
    if argv is None and not sys.flags.safe_path and os.getcwd() not in sys.path:
        # The installed command finds classes of the current folder as ``python -m`` does.
        sys.path.insert(0, os.getcwd())
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if arguments else USAGE_STATUS
    if arguments[0] == "--version":
        print(f"lit_llm {__version__}")
        return 0
    if arguments[0] not in VERBS:
        print(f"error: {wrong_verb(arguments[0], VERBS)}\n{USAGE}", file=sys.stderr)
        return USAGE_STATUS
    quiet()
    try:
        return _run(*arguments)
    except UserError as error:
        if os.environ.get("LIT_LLM_DEBUG") == "1":
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED_STATUS


def _run(verb: str, *options: str) -> int:
    name, _ = VERBS[verb]
    # A shell resolves ~ at the beginning of a word alone, not behind the = of an option.
    is_loop, typed = name == LOOPS, [option_at_home(word) for word in options]
    if is_loop and short_help.is_asked(typed):
        print(short_help.text(verb))
        return 0
    typed = short_help.in_full(typed)
    if verb in TAKES_CONFIG:
        early.check_run(verb, typed)
    else:
        early.check_command(typed)
    module = importlib.import_module(name)
    status = module.main([verb, *typed] if is_loop else typed)
    return status if isinstance(status, int) else 0


def _help() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:<{width}}  {text}" for verb, (_, text) in VERBS.items())
    return (
        f"{USAGE}\n\nFine-tune Qwen3-family language models from YAML files.\n\nverbs:\n{verbs}\n\n"
        "`python -m lit_llm VERB --help` lists the options of one; `--version` prints the version."
    )


if __name__ == "__main__":
    sys.exit(main())
