"""``python -m lit_llm compress``: turn a corpus into vectors that a run of ClaraLM finds and reads again."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_llm.errors import ConfigError
from lit_llm.paths import existing, run_folder

if TYPE_CHECKING:
    from torch import Tensor

    from lit_llm.retrieval import IndexWriter, VectorIndex

QUESTIONS, TOKENS, COUNT, RECALL = 200, 32, 10, 0.98
"""The approximate search is measured with so many passages, whose first tokens are the questions: of the passages that
an exact search finds, so many, it has to find that share."""


def main(argv: Sequence[str] | None = None) -> int:
    """Compress a corpus.

    Args:
        argv: the options; by default those of the process.

    Returns:
        0.
    """
    options = _options(argv)
    corpus, output = options.corpus.resolve(), options.output.resolve()
    if corpus.is_relative_to(output) or output.is_relative_to(corpus):
        raise ConfigError(
            f"--output: {options.output} and --corpus {options.corpus} are in one another: keep them apart"
        )
    import torch

    from lit_llm.models.clara import ClaraLM
    from lit_llm.quiet import silent
    from lit_llm.report.runs import open_run, single_trainer

    with silent():
        trainer = single_trainer(options.run)
        run = open_run(options.run, options.checkpoint, trainer)
    model: Any = run.model
    if not isinstance(model, ClaraLM):
        raise ConfigError(f"--run: {options.run} is a {type(model).__name__}, which makes no vectors: name a ClaraLM")
    if not 0 <= options.overlap < model.passage_tokens:
        raise ConfigError(f"--overlap is {options.overlap}: use 0 or more, and less than {model.passage_tokens}")
    from lit_llm.data.passages.corpus import passages
    from lit_llm.retrieval import IndexWriter, VectorIndex

    words: Any = model.language_model.get_input_embeddings()
    about = {
        "model": model.vectors_from(),
        "vectors": model.vectors,
        "width": words.weight.shape[1],
        "corpus": _digest(options.corpus),
        "overlap": options.overlap,
    }
    writer = IndexWriter(options.output, about, overwrite=options.overwrite)
    if writer.is_finished and (not options.approximate or writer.has_approximate):
        print(f"{options.output} is finished: nothing to do")
        return 0
    tokenizer: Any = model.tokenizer
    count = writer.begin(passages(options.corpus, tokenizer, model.passage_tokens, options.overlap))
    plugin = trainer.precision_plugin

    def vectors(ids: Tensor, mask: Tensor) -> Tensor:
        """Compress passages in the precision of the run."""
        with plugin.predict_step_context(), torch.no_grad():
            return model.compress_frozen(ids, mask)

    _fill(writer, count, vectors, trainer.strategy.root_device)
    writer.finish()
    found = _approximate(VectorIndex(options.output), model, plugin) if options.approximate else None
    writer.finish(found)
    _show(options, count, model.vectors, about["width"], found)
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lit_llm compress", description=__doc__)
    parser.add_argument("--run", required=True, type=run_folder, help="run folder of a ClaraLM")
    parser.add_argument("--checkpoint", default="best", choices=["best", "last"], help="which weights (best)")
    parser.add_argument(
        "--corpus", required=True, type=existing, help="JSONL, CSV or Parquet with a column text; or a folder of texts"
    )
    parser.add_argument("--output", required=True, type=Path, help="folder of the index")
    parser.add_argument("--overlap", type=int, default=0, help="tokens that pieces of a document have in common (0)")
    parser.add_argument(
        "--approximate", action="store_true", help="add a quicker search for corpora of some 100,000 passages or more"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an index of something else")
    return parser.parse_args(argv)


def _fill(writer: IndexWriter, count: int, vectors: Any, device: Any) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar:
        task = bar.add_task("compressing passages", total=count)
        for start, end in writer.windows():
            bar.update(task, completed=start)
            writer.write(start, end, vectors, device)
        bar.update(task, completed=count)


def _approximate(index: VectorIndex, model: Any, plugin: Any) -> dict[str, Any] | None:
    """Make the approximate search of an index, and find how widely it has to look."""
    import numpy as np
    import torch

    from lit_llm.retrieval import approximate

    approximate.build(index.folder, index.flat, index.norms)
    some = np.sort(np.random.default_rng(0).permutation(len(index))[:QUESTIONS])
    texts = [index.entry(int(number)).text for number in some]
    rows = [row[:TOKENS] for row in model.tokenizer(texts, add_special_tokens=False)["input_ids"]]
    ids, mask = (
        torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in each], batch_first=True).to(model.device)
        for each in (rows, [[1] * len(row) for row in rows])
    )
    with plugin.predict_step_context(), torch.no_grad():
        asked = model.asked(ids, mask).flatten(1)
    return approximate.measured(index.folder, index.flat, index.norms, asked, min(COUNT, len(index)), RECALL)


def _digest(source: Path) -> str:
    """Return a hash of what a corpus says."""
    files = sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
    found = hashlib.sha256()
    for path in files:
        found.update(f"{path.relative_to(source) if path != source else ''}\0".encode("utf-8", "surrogateescape"))
        with path.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()[:16]


def _show(options: argparse.Namespace, count: int, vectors: int, width: int, found: dict[str, Any] | None) -> None:
    size = sum(path.stat().st_size for path in options.output.iterdir())
    print(f"{options.output}: {count:,} passages, each {vectors} vectors of {width} numbers; {size / 2**20:,.1f} MiB")
    if found:
        recall = next(f"{name} {value}" for name, value in found.items() if name.startswith("recall"))
        print(
            f"approximate search: {recall} of the exact one's, with {found['candidates']} candidates looked at again "
            f"({found['questions']} beginnings of passages as questions)"
        )
    elif options.approximate:
        print(f"no approximate search finds {RECALL:.0%} here, so every search looks at all passages: are many alike?")
    elif count >= 100_000:
        print("every search looks at all of them; --approximate adds a quicker one")
