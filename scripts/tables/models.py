"""Which families of models work, and in what: ``docs/models.md``, made anew.

    python scripts/tables/models.py

A tiny model with random weights of each family goes through ``python -m lit_llm check --full``.
"""

from __future__ import annotations

import argparse
import logging
import re
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from lit_llm.conformance import Finding, conformance  # noqa: E402
from lit_llm.errors import UserError  # noqa: E402
from lit_llm.models import Loading  # noqa: E402
from lit_llm.quiet import silent  # noqa: E402
from tests import families  # noqa: E402

PAGE = ROOT / "docs/models.md"
NAMES = {
    "qwen2": "Qwen2, Qwen2.5",
    "qwen3": "Qwen3",
    "qwen3_moe": "Qwen3-MoE",
    "qwen3_5": "Qwen3.5",
    "qwen3_5_moe": "Qwen3.5-MoE",
    "qwen3_next": "Qwen3-Next",
    "llama": "Llama",
    "mistral": "Mistral",
    "mixtral": "Mixtral",
    "gemma2": "Gemma 2",
    "gemma3": "Gemma 3 (text)",
    "phi3": "Phi-3",
    "smollm3": "SmolLM3",
    "olmo3": "OLMo 3",
    "granite": "Granite",
    "granitemoe": "GraniteMoE",
    "mamba": "Mamba",
    "minicpm3": "MiniCPM3",
    "t5": "T5",
}
COLUMNS = {
    "loss": "loss",
    "layers": "layers",
    "batches": "batches",
    "sampled batches": "sampled",
    "gradients": "gradients",
    "LoRA": "LoRA",
    "DoRA": "DoRA",
    "VeRA": "VeRA",
    "AdaLoRA": "AdaLoRA",
    "Full": "Full",
    "NF4": "NF4",
    "int8": "int8",
    "QAT": "QAT",
    "resume": "resume",
    "GGUF": "GGUF",
}
INTRO = """# Models

```bash
python -m lit_llm check --backbone FOLDER_OR_HUB_ID --full
```

tries with a base, in miniature, what a run does, and prints a table. Without `--full` it is quick and trains nothing. A
line is `ok`, `refused` (a run would be refused with the same reason) or `FAILS` (a run would go wrong; what to do is
said, and the exit status is 1). A base of more than 400 million weights is trained as a smaller copy of its
architecture with random weights, which is said. `--attn_implementation eager` checks a base that has no other.

The tables below are what it says of a tiny model with random weights of each family; `python scripts/tables/models.py`
writes this page anew. They speak of architectures; a tokenizer or template of a model's own is checked with the model.

| column | what works |
|---|---|
| loss | the loss that is trained is the model's own: a factor or a soft cap after the head is part of it |
| layers | linear layers are called as such, so that what is put on them counts |
| batches, sampled | rows of unlike length that leave a batch one by one are answered as each row alone |
| gradients | an optimizer step does not depend on padding, nor on how it is cut |
| LoRA … Full | the adapter learns, is saved, opened by PEFT alone, merged, and the merged folder reopened |
| NF4, int8 | an adapter learns on a base stored so, and is merged |
| QAT | rounds in training; what is trained is what is stored |
| resume | fit, validation and answers; a run that is stopped and resumed ends with the same weights to the bit |
| GGUF | `export --gguf` |
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Write the page, or print it with ``--print``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", help="families to try, for a look at them; prints the page")
    chosen = parser.parse_args(argv).only
    logging.getLogger("transformers").setLevel(logging.ERROR)
    found = {}
    for family in chosen or NAMES:
        found[family] = tried(family)
        print(family, *(f"{f.check}: {f.text}" for f in found[family] if f.state != "ok"), sep="\n  ", file=sys.stderr)
    if chosen:
        print(page(found))
    else:
        PAGE.write_text(page(found), encoding="utf-8")


def tried(family: str) -> list[Finding]:
    """Return what ``check --full`` finds of a family's tiny model."""
    loading = Loading(attn_implementation=families.ATTENTION.get(family, "sdpa"))
    with tempfile.TemporaryDirectory() as place, silent(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = families.folder(Path(place) / family, family)
        try:
            findings = list(conformance(str(folder), loading, full=True))
        except UserError as error:
            findings = [Finding("opening", "FAILS", str(error))]
        kind = families.config(family).model_type
        return _without(kind, [f._replace(text=f.text.replace(str(folder), "FOLDER")) for f in findings])


def _without(kind: str, findings: list[Finding]) -> list[Finding]:
    """Return findings without the name of their kind of model, so that families have the same notes."""
    return [f._replace(text=re.sub(rf"\b{re.escape(kind)}\b", "…", f.text)) for f in findings]


def page(found: dict[str, list[Finding]]) -> str:
    """Return the page of what was found of each family."""
    notes: list[str] = []
    lines = ["", "## What works", "", _row(["family", *COLUMNS.values()]), _row(["---"] * (len(COLUMNS) + 1))]
    for family, findings in found.items():
        by_check = {finding.check: finding for finding in findings}
        cells = [_cell(by_check.get(check), notes) for check in COLUMNS]
        if "opening" in by_check:
            cells = [_cell(by_check["opening"]._replace(state="refused"), notes), *[""] * (len(COLUMNS) - 1)]
        lines.append(_row([_name(family), *cells]))
    lines += ["", *(f"{at}. {note}" for at, note in enumerate(notes, 1))]
    lines += ["", "## What LoRA reaches by default", "", "Of each kind of layer, the share of its weights.", ""]
    lines += _shares(found)
    return INTRO + "\n".join(lines) + "\n"


def _name(family: str) -> str:
    attention = families.ATTENTION.get(family)
    return NAMES[family] + (f" (`{attention}`)" if attention else "")


def _cell(finding: Finding | None, notes: list[str]) -> str:
    if finding is None:
        return ""
    if finding.state == "ok":
        return "yes"
    note = re.sub(r"\d\.\d+e[-+]\d+", "…", finding.text)
    if note not in notes:
        notes.append(note)
    return f"{'no' if finding.state == 'refused' else '**fails**'} ({notes.index(note) + 1})"


def _shares(found: dict[str, list[Finding]]) -> list[str]:
    reached = {
        family: dict(re.findall(r"([a-z][a-z -]*?) (\d+%)", finding.text.partition("reaches ")[2]))
        for family, findings in found.items()
        for finding in findings
        if finding.check == "LoRA" and finding.state == "ok"
    }
    kinds = sorted({kind for shares in reached.values() for kind in shares})
    head = [_row(["family", *kinds]), _row(["---"] * (len(kinds) + 1))]
    return head + [
        _row([NAMES[family], *(shares.get(kind, "") for kind in kinds)]) for family, shares in reached.items()
    ]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
