"""Completes what was written of a run with all that has to go with it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import lit_llm.sharing.snippets as snippets
from lit_llm.sharing.about import About, about
from lit_llm.sharing.card import NAME, write_card
from lit_llm.sharing.folder import answer_ends, write_beside
from lit_llm.storage import as_created
from lit_llm.version import __version__

Kind = Literal["adapter", "model", "quantized"]


def complete_folder(
    folder: Path, model: Any, data: Any, kind: Kind, home: Path | None = None, run: Path | None = None
) -> None:
    """Write tokenizer, end tokens, and a model card into a folder of weights.

    Args:
        folder: holds the weights.
        model: the ``LitLM`` that they are of.
        data: its ``LMData``, where there is one.
        kind: what the folder holds.
        home: where the folder will lie; by default it stays.
        run: folder of the run.
    """
    facts, network, home = about(model, data), model.language_model, (home or folder).resolve()
    write_beside(folder, network, model.tokenizer, facts.template)
    model.save_extras(folder)
    dtype = str(network.dtype).removeprefix("torch.")
    if facts.vectors or (kind == "adapter" and not facts.base):
        code = snippets.for_run(facts, (run or home.parent).resolve())
    elif kind == "adapter":
        code = snippets.for_adapter(facts, home, dtype)
    else:
        code = snippets.for_model(facts, home, dtype, _needs(network, kind, folder))
    title = f"{run.resolve().name if run else home.parent.name}: {home.name}"
    # Weights that are about to take the place of others have not been measured yet.
    measured = None if folder.name.startswith(".") else run
    write_card(folder / NAME, facts, title, kind, _ends(model, facts), code, measured)
    as_created(folder)


def complete_trained(folder: Path, model: Any) -> None:
    """Complete the weights that a run has just written, as ``complete_folder`` does, and note what they belong to.

    Args:
        folder: holds them; a hidden one is about to take its name in the run.
        model: the ``LitLM``.
    """
    trainer = model.trainer if model._trainer else None
    data: Any = getattr(trainer, "datamodule", None)
    # Relative paths in the run's config.yaml mean something from that folder alone.
    facts = {"backbone": model.backbone, "base": model.base_fingerprint(), "started_in": str(Path.cwd())}
    facts["version"] = __version__
    if hasattr(data, "template_fingerprint"):
        facts["template"] = data.template_fingerprint()
    (folder / "lit_llm.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    run = Path(trainer.default_root_dir) if trainer else None
    home = run / model.adapter.folder if run and folder.name.startswith(".") else folder
    complete_folder(folder, model, data, "model" if model.adapter.folder == "model" else "adapter", home, run)


def write_sidecar(file: Path, model: Any, data: Any, home: Path, run: Path | None = None, kept: bool = False) -> None:
    """Write the card of a file for llama.cpp beside it.

    Args:
        file: of the card.
        model: the ``LitLM``.
        data: its ``LMData``.
        home: where the weights' file will lie.
        run: folder of the run.
        kept: whether the file holds the numbers that were rounded in training.
    """
    facts = replace(about(model, data), kept=kept)
    code = snippets.for_gguf(facts, home.resolve())
    title = f"{run.resolve().name}: {home.name}" if run else home.name
    write_card(file, facts, title, "gguf", _ends(model, facts), code, run)


def _ends(model: Any, facts: About) -> list[str]:
    ids = answer_ends(model.language_model, model.tokenizer, facts.template)
    return [str(model.tokenizer.convert_ids_to_tokens(token)) for token in ids]


def _needs(network: Any, kind: Kind, folder: Path) -> str:
    """Return the package that reading weights of few bits takes."""
    text = (folder / "config.json").read_text(encoding="utf-8") if kind == "quantized" else ""
    return next((name for name in ("compressed-tensors", "bitsandbytes") if f'"{name}"' in text), "")
