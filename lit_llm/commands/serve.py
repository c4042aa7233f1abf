"""``python -m lit_llm serve``: a run answers over HTTP on this machine, and on a page in the browser."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lit_llm.errors import ConfigError
from lit_llm.llama_cpp import GGUF_TYPES, GgufType, available

KEY = "LIT_LLM_KEY"
"""Environment variable of the key that clients send."""

PLAIN = {"num_beams": 1, "do_sample": False, "repetition_penalty": 1.0, "no_repeat_ngram_size": 0}
"""Settings of a generator that llama.cpp is not told of, as they are where they change nothing."""


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C.

    Args:
        argv: the options; by default those of the process.

    Raises:
        ConfigError: if the run cannot be served, or the port is taken.
    """
    parser = argparse.ArgumentParser(prog="python -m lit_llm serve", description=__doc__)
    parser.add_argument("--run", required=True, type=Path, help="run folder, such as checkpoints/extraction_tiny")
    parser.add_argument("--port", type=int, default=8080, help="on this machine alone (8080; 0: a free one)")
    parser.add_argument("--type", choices=GGUF_TYPES, help="how matrices are stored (F32, or as in training)")
    parser.add_argument("--checkpoint", default="best", choices=["best", "last"], help="which weights of the run")
    parser.add_argument("--parallel", type=int, default=8, help="answers that are written at a time (8)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="that compute (all processors)")
    parser.add_argument("--key", default=os.environ.get(KEY), help=f"that clients send; else that of ${KEY}, or none")
    parser.add_argument("--part", help="of a run on a mixture: the source whose prompt to use")
    parser.add_argument("--direction", help="of a translation, such as es-nah")
    parser.add_argument("--dialect", help="of a translation: the variety, as the rows of its data name it")
    options = parser.parse_args(argv)
    for name in ("parallel", "threads"):
        if getattr(options, name) < 1:
            raise ConfigError(f"--{name}: {getattr(options, name)} is not possible; it is at least 1")
    if not 0 <= options.port < 1 << 16:
        raise ConfigError(f"--port: {options.port} is none; it is between 0 and 65535")
    if not available():
        raise ConfigError("serve: llama.cpp answers, and its package is not installed: pip install -e '.[llama]'")
    return _serve(options)


def _serve(options: argparse.Namespace) -> int:
    from lit_llm.llama_cpp import Engine
    from lit_llm.report.runs import open_settings
    from lit_llm.serving import Front, Requests

    model, whole = open_settings(options.run)
    if not getattr(model, "writes_text", False) or whole.tasks - {"extraction", "translation", "text"}:
        raise ConfigError(f"serve: {options.run} does not answer texts with texts: name a run of one that does")
    data: Any = whole.source(options.part)
    facts = {name: getattr(options, name) for name in ("direction", "dialect") if getattr(options, name)}
    data.question("?", **facts)
    generator: Any = model.generator
    _say_left_out(generator, data)
    constraint = getattr(generator, "constraint", None)
    schema = getattr(data, "schema", None)
    requests = Requests(data, generator.max_new_tokens, facts, schema if schema is not None else _held(constraint))
    file = _file(options.run, options.checkpoint, options.type)
    context = options.parallel * (data.max_length + generator.max_new_tokens)
    name = options.run.resolve().name
    with Engine(file, context, options.threads, options.parallel, name) as engine:
        try:
            front = Front(options.port, name, requests, engine.address, engine.key, options.key)
        except OSError as error:
            raise ConfigError(
                f"--port: {options.port} cannot be listened at: {error.strerror}; name another"
            ) from error
        with front:
            print(f"{options.run} answers at {front.address}/v1/chat/completions; a page to try it: {front.address}/")
            print("Ctrl-C ends it", flush=True)
            try:
                front.serve_forever()
            except KeyboardInterrupt:
                front.end()
                print("\nended")
    return 0


def _file(run: Path, checkpoint: str, kind: GgufType | None) -> Path:
    """Return the GGUF file of a run's weights, written unless it is there already."""
    from lit_llm.commands.export import export
    from lit_llm.results import content_hash

    trained = run / f"{checkpoint}.ckpt"
    if not trained.is_file():
        raise ConfigError(f"--checkpoint: {trained} is not there; is the run finished?")
    name = "-".join([checkpoint, kind or "as-trained", content_hash(trained)[:12]])
    file = run / "serve" / f"{name}.gguf"
    if not file.is_file():
        print(f"writing {file}", flush=True)
        export(run, file, checkpoint, gguf=True, kind=kind)
    return file


def _held(constraint: Any) -> Any:
    """Return the schema that a generator holds all answers to; None where it has none of its own."""
    from lit_llm.schemas import read_schema

    return read_schema(constraint.schema) if getattr(constraint, "schema", None) else None


def _say_left_out(generator: Any, data: Any) -> None:
    """Say which settings of a generator and of the data the server does not use."""
    unsettled = [name for name in ("catalogues", "saltillo") if getattr(data, name, None)]
    if unsettled:
        print(f"note: answers come as the model writes them; the data's {', '.join(unsettled)} is left out", flush=True)
    other = [name for name, value in PLAIN.items() if getattr(generator, name, value) != value]
    if other:
        print(f"note: the server answers greedily; the run's {', '.join(other)} is left out", flush=True)
