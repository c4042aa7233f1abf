"""``python -m lit_llm report``: one page that says what a run is, what it reached and where it fails."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from lit_llm.paths import run_folder


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page of a run.

    Args:
        argv: the options; by default those of the process.
    """
    options = _options(argv)

    from lit_llm.errors import ConfigError
    from lit_llm.report.files import refuse_existing
    from lit_llm.report.page.writing import write_page

    if options.rows < 0:
        raise ConfigError(f"--rows: {options.rows} is less than 0")
    output = options.output or Path(options.run) / "report.html"
    if options.output:
        if not output.parent.is_dir():
            raise ConfigError(f"--output: there is no folder {output.parent}: make it, or name another file")
        refuse_existing(output, "--output", options.overwrite)
    write_page(Path(options.run), output, options.rows)
    print(f"{output}: {output.stat().st_size / 1e3:.0f} kB; open it in a browser")
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m lit_llm report",
        description="Write one HTML page about a run: scores, curves, fields, worst rows and settings.",
    )
    parser.add_argument("run", type=run_folder, help="the folder of a run, such as checkpoints/extraction_tiny")
    parser.add_argument("--output", type=Path, help="HTML file (report.html in the run, which is replaced)")
    parser.add_argument("--rows", type=int, default=20, help="worst rows to show (20)")
    parser.add_argument("--overwrite", action="store_true", help="replace the file that --output names")
    return parser.parse_args(argv)
