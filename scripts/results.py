"""What the makers of docs/results.md share: they run verbs, and write tables between markers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "results.md"


def lit_llm(verb: str, options: list[str], log: Path, threads: int) -> None:
    """Run a verb in the root of the project, its output in ``log``.

    Raises:
        CalledProcessError: if it fails.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file:
        command = [sys.executable, "-m", "lit_llm", verb, *options]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        subprocess.run(command, cwd=ROOT, env=environment, stdout=file, stderr=file, check=True)


def train(folder: Path, options: list[str], threads: int) -> None:
    """Run ``fit`` into a folder unless it is done; one that was stopped goes on."""
    if (folder / ".trained").exists():
        return
    resume = ["--ckpt_path", "last"] if (folder / "last.ckpt").exists() else []
    lit_llm("fit", [*options, *resume], folder / "fit.log", threads)
    (folder / ".trained").touch()


def write(name: str, text: str) -> None:
    """Put text between the markers ``<!-- name -->`` and ``<!-- /name -->`` of docs/results.md."""
    whole = PAGE.read_text(encoding="utf-8")
    head, rest = whole.split(f"<!-- {name} -->\n", 1)
    tail = rest.split(f"<!-- /{name} -->", 1)[1]
    PAGE.write_text(f"{head}<!-- {name} -->\n{text}\n<!-- /{name} -->{tail}", encoding="utf-8")
