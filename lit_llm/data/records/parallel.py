"""Plain text files of equally many lines, one for each language."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lit_llm.data.records.faults import Broken, Fault, Faults
from lit_llm.data.records.lines import MAX_LINE_BYTES, amid, text_lines
from lit_llm.data.records.reading import Reader, Record
from lit_llm.errors import DataError


def read_parallel(
    pattern: str, names: Sequence[str], *, max_line_bytes: int = MAX_LINE_BYTES, reader: Reader | None = None
) -> list[Record]:
    """Read plain text files of equally many lines, one for each of ``names`` in the place of ``{lang}``.

    Returns:
        A record for each line, with a value for each name; None where the line is blank.

    Raises:
        DataError: if a file cannot be read, or the files differ in their number of lines.
    """
    reader = reader or Reader(max_line_bytes=max_line_bytes)
    faults = Faults() if reader.faults is None else reader.faults
    paths = {name: Path(pattern.replace("{lang}", name)) for name in names}
    texts = {name: _text_rows(path, reader) for name, path in paths.items()}
    counts = {paths[name]: len(lines) for name, lines in texts.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{path} has {count} lines" for path, count in counts.items())
        raise DataError(f"{pattern}: {listed}: parallel files have one line for each pair")
    first = paths[names[0]]
    records = []
    for line, row in enumerate(zip(*texts.values(), strict=True), start=1):
        own = f"{reader.prefix or first.stem}-{line}"
        values = dict(zip(names, row, strict=True))
        broken = {name: text for name, text in values.items() if isinstance(text, Broken)}
        for name, text in broken.items():
            faults.add(Fault(paths[name], line, text.message, row=text.raw, id=own))
        if not broken:
            found = {name: text if str(text).strip() else None for name, text in values.items()}
            records.append(Record(first, line, own, found))
    faults.rows += len(next(iter(texts.values())))
    if reader.faults is None:
        faults.settle()
    return records


def _text_rows(path: Path, reader: Reader) -> list[str | Broken]:
    lines = text_lines(path, reader.max_line_bytes, reader.layout)
    return [text if isinstance(text, Broken) else amid(text, path) or text.rstrip("\r\n") for _, text in lines]
