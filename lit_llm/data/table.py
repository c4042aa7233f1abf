"""Data modules read files of named columns: the settings of how, and what becomes of rows that cannot be used."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info

from lit_llm.data.records.faults import Fault, Faults, write_faults
from lit_llm.data.records.layout import Layout, Quoting
from lit_llm.data.records.parallel import read_parallel
from lit_llm.data.records.reading import MAX_LINE_BYTES, Column, Reader, Record, stream_records
from lit_llm.data.settings import stage_name
from lit_llm.data.tokens.dataset import Example
from lit_llm.errors import ConfigError, DataError
from lit_llm.wording import many

BadRows = Literal["error", "skip"]

_PREDICTED = "id text prediction reference status error raw new_tokens score meta"
_FACTS = "split part schema direction pair dialect origin document lang truncated source finished reference_error"
_FACTS += " catalogue catalogues reference_date shots"
UNJUDGED = "reference_error"
"""Where ``meta`` says why a row that is answered is compared with nothing."""
RESERVED = frozenset(f"{_PREDICTED} {_FACTS}".split(" "))
"""Names that rows already have in predictions.csv or in its ``meta``."""

SKIP = "mend them, or set data.init_args.bad_rows to skip, which leaves them out and counts them"


PAIRS = (("read", "stream"), ("select", "selected"))
"""Methods that give all at once, and those that give the same one by one."""


class TableData(LightningDataModule):
    """Reads files of named columns.

    Args:
        train: file of the training split.
        valid: file of the validation split.
        test: test files by name; each gets its own metrics ``test/<name>/…``.
        predict: file that ``predict`` answers; without it, the test files are answered.
        delimiter: what separates the cells of CSV and TSV files, such as ``;``; by default a comma in ``.csv`` and a
            tab in ``.tsv``.
        encoding: how text files write letters as bytes: ``utf-8``, ``utf-16``, ``windows-1252``, ….
        quoting: what quotes mean in CSV and TSV files: ``csv`` puts them around cells, with ``none`` they are letters;
            ``auto`` is ``csv``, but between tabs it is decided by the whole file, or refused.
        header: whether the first row of CSV and TSV files names the columns; a list of names where no row does.
        id_field: column of the ids; only one named ``id`` may be missing.
        keep: further columns that go into ``meta`` of predictions.csv.
        bad_rows: ``error`` refuses a file with rows that cannot be used, and lists them; ``skip`` leaves these out,
            counts them, and writes them to ``bad_rows`` in the run folder. In the file of ``predict`` they are always
            rows with the status ``error``.

    Raises:
        ConfigError: if a setting is not possible.
    """

    fact_settings: tuple[str, ...] = ()
    """Settings that name columns of facts about rows."""

    def __init__(
        self,
        train: str | None = None,
        valid: str | None = None,
        test: dict[str, str] | None = None,
        predict: str | None = None,
        delimiter: str | None = None,
        encoding: str = "utf-8",
        quoting: Quoting = "auto",
        header: bool | list[str] = True,
        id_field: str = "id",
        keep: list[str] | None = None,
        bad_rows: BadRows = "error",
    ) -> None:
        super().__init__()
        if reserved := [name for name in test or {} if name in ("train", "valid", "predict")]:
            raise ConfigError(f"data.init_args.test: {reserved[0]!r} is the name of a split; name the test otherwise")
        self.files = {"train": train, "valid": valid, "predict": predict}
        self.test_files = dict(test or {})
        named = header if isinstance(header, bool) else tuple(header)
        self.layout = Layout(delimiter, encoding, quoting, named)
        self.id_field, self.keep, self.bad_rows = id_field, list(keep or []), bad_rows
        if taken := [name for name in self.keep if name in RESERVED]:
            raise ConfigError(
                f"data.init_args.keep: {taken[0]!r} is a name that predictions.csv uses itself: rename the column"
            )
        self.max_line_bytes = MAX_LINE_BYTES
        self.counts: Counter[str] = Counter()
        self.skipped: dict[str, list[Fault]] = {}
        self.lenient = False
        self._told: set[Path] = set()

    @abstractmethod
    def read(self, path: Path) -> list[Example]:
        """Return the validated records of a file; raises DataError naming file, line and field."""

    def stream(self, path: Path) -> Iterator[Example]:
        """Yield what ``read`` returns, one by one where the task can."""
        yield from self.read(path)

    def select(self, name: str, examples: list[Example]) -> list[Example]:
        """Return the examples of a split to use; what is left out has to be counted in ``counts``."""
        return examples

    def selected(self, name: str, examples: Iterable[Example]) -> Iterator[Example]:
        """Yield what ``select`` returns, one by one where the task can."""
        return iter(examples)

    def chosen(self, name: str, path: Path) -> list[Example]:
        """Return the records of a file that a split uses.

        Raises:
            DataError: if a record cannot be used, or none is left.
        """
        read = self.read(path)
        examples = self.select(name, read)
        if not examples:
            raise self._none_left(path, len(read))
        return examples

    def chosen_one_by_one(self, name: str, path: Path) -> Iterator[Example]:
        """Yield what ``chosen`` returns, without holding all of it where the task can do without."""
        # A class of somebody else may have changed what is read, or selected, and know nothing of the other way.
        if any(owner(self, whole) is not owner(self, each) for whole, each in PAIRS):
            yield from self.chosen(name, path)
            return
        read = kept = 0

        def counted() -> Iterator[Example]:
            nonlocal read
            for example in self.stream(path):
                read += 1
                yield example

        for example in self.selected(name, counted()):
            kept += 1
            yield example
        if not kept:
            raise self._none_left(path, read)

    def _none_left(self, path: Path, read: int) -> DataError:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in self.counts.items() if count)
        return DataError(f"{path}: no row is left of {read}; {reasons}")

    def read_splits(self) -> dict[str, list[Example]]:
        """Return the examples of all configured splits as they are used, but not encoded."""
        files = {name: path for name, path in (self.files | self.test_files).items() if path}
        found = {}
        for name, path in files.items():
            self.lenient = name == "predict"
            rows = self.select(name, self.read(Path(path)))
            found[name] = [example for example in rows if not example.error]
            self.counts[f"{name}: rows that cannot be answered"] += len(rows) - len(found[name])
        return found

    def serves(self, stage: str) -> bool:
        """Whether this data names a file for a stage."""
        return any(self._files_of(stage).values())

    def read_table(
        self, path: Path, columns: Mapping[str, Column], make: Callable[[Record], Sequence[Example]]
    ) -> list[Example]:
        """Read a file by the settings and return what ``make`` makes of its records; see ``stream_table``."""
        return list(self.stream_table(path, columns, make))

    def stream_table(
        self,
        path: Path,
        columns: Mapping[str, Column],
        make: Callable[[Record], Sequence[Example]],
        *,
        either: Sequence[str] = (),
        expect: Sequence[Collection[str]] = (),
    ) -> Iterator[Example]:
        """Read a file by the settings and yield what ``make`` makes of its records.

        Args:
            path: the file; with ``{lang}`` in it, plain text files of equally many lines, one for each of ``columns``.
            columns: what to read, by the names that ``make`` uses. Ids and kept columns are added.
            make: returns the examples of a record; its DataErrors are faults of the row.
            either: optional columns of which every record must have one.
            expect: groups of columns; the file must have all of one group.

        Raises:
            DataError: if the file cannot be used; behind the last row, if it has bad rows that are not to be skipped.
        """
        faults = Faults(keep=self.lenient or self.bad_rows == "skip")
        found = self._records(path, columns, faults, either, expect)
        if self.lenient:
            yield from self._leniently(path, columns, make, found, faults)
            return
        for record in found:
            yield from self._made(record, make, faults)
        faults.settle(SKIP)
        if faults:
            self.skipped[path.name] = list(faults)
            self.counts[f"{path.name}: bad rows, left out"] = len(faults.by_row())

    def _made(self, record: Record, make: Callable[[Record], Sequence[Example]], faults: Faults) -> list[Example]:
        try:
            return [self._kept(example, record) for example in make(record)]
        except DataError as error:
            message = str(error).removeprefix(f"{record.place}: ")
            faults.add(Fault(record.path, record.line, message, row=record.values, id=record.id))
            return []

    def _leniently(
        self,
        path: Path,
        columns: Mapping[str, Column],
        make: Callable[[Record], Sequence[Example]],
        found: Iterable[Record],
        faults: Faults,
    ) -> list[Example]:
        """Return all rows, those that cannot be answered among them."""
        made = [(record.line, self._made(record, make, faults)) for record in found]
        made = self._with_failed(made, faults, columns) if faults else made
        examples = [example for _, of_row in made for example in of_row]
        self._say_unjudged(path, examples)
        return examples

    def _with_failed(
        self, made: list[tuple[int, list[Example]]], faults: Faults, columns: Mapping[str, Column]
    ) -> list[tuple[int, list[Example]]]:
        """Add the rows that cannot be answered where they stand in the file."""
        taken = {example.id for _, examples in made for example in examples}
        failed: list[tuple[int, list[Example]]] = []
        for (path, line), found in faults.by_row().items():
            own = found[0].id if found[0].id not in taken else f"{path.stem}-{line}"
            taken.add(own)
            error = "; ".join(str(fault).removeprefix(f"{fault.path}:{fault.line}: ") for fault in found)
            row = found[0].row if isinstance(found[0].row, dict) else {}
            texts = [row.get(key) or row.get(column.name) for key, column in columns.items() if column.kind == "text"]
            text = next((text for text in texts if isinstance(text, str)), "")
            meta = {name: row.get(name, row.get(f"keep {name}")) for name in self.keep if row}
            failed.append((line, [Example(own, text, None, None, f"{path}:{line}", meta, error=error)]))
        return sorted([*made, *failed], key=lambda pair: pair[0])

    def write_skipped(self, folder: Path) -> None:
        """Write the rows that were left out to ``bad_rows`` in a folder, a file for each of the data's files."""
        for name, faults in self.skipped.items():
            write_faults(faults, folder / "bad_rows" / f"{name}.jsonl")

    def id_prefix(self, path: Path) -> str:
        """Return what default ids begin with: the file's name, its folder in front where two files have one name."""
        files = {Path(name) for name in (*self.files.values(), *self.test_files.values()) if name}
        twins = [other for other in files | {path} if other.stem == path.stem]
        return path.stem if len(twins) == 1 else f"{path.parent.name}/{path.stem}"

    def files_at(self, path: Path) -> list[Path]:
        """Return the files that a setting names: several where ``{lang}`` stands in it."""
        return [path]

    def _files_of(self, stage: str) -> dict[str, str | None]:
        """Return the files that a stage reads; None where one is not configured."""
        if stage == "test" or (stage == "predict" and not self.files["predict"]):
            return dict(self.test_files)
        if stage == "predict":
            return {"predict": self.files["predict"]}
        return {name: self.files[name] for name in ("train", "valid")[stage == "validate" :]}

    def needed(self, stage: str) -> dict[str, str]:
        """Return the files that a stage reads, by split; raises ConfigError where one that it needs is not named."""
        needed = self._files_of(stage)
        missing = [name for name, path in needed.items() if path is None and not (stage == "fit" and name == "valid")]
        if missing or (stage in ("test", "predict") and not needed):
            key = missing[0] if missing else stage
            raise ConfigError(f"data.init_args.{key} is not set, and `{stage_name(stage)}` needs it: name a file there")
        return {name: path for name, path in needed.items() if path is not None}

    def _records(
        self,
        path: Path,
        columns: Mapping[str, Column],
        faults: Faults,
        either: Sequence[str],
        expect: Sequence[Collection[str]],
    ) -> Iterable[Record]:
        reader = Reader(self.layout, self.max_line_bytes, faults, self.id_prefix(path))
        if "{lang}" in str(path):
            if self.keep or self.id_field != "id":
                name = "keep" if self.keep else "id_field"
                raise ConfigError(f"data.init_args.{name}: {path} is plain text, which has no columns: leave it out")
            return read_parallel(str(path), list(columns), reader=reader)
        own = Column(self.id_field, "id", required=False, expected=self.id_field != "id")
        kept = {f"keep {name}": Column(name, "any", required=False, expected=True) for name in self.keep}
        wanted = {**columns, **kept, "id": own}
        found = stream_records(path, wanted, either=either, expect=expect, reader=reader)
        self._say_unread(path, reader.seen[path], wanted.values())
        return found

    def _say_unread(self, path: Path, present: Sequence[str], wanted: Iterable[Column]) -> None:
        """Name the columns that nobody asked for, once: one may have been meant for something."""
        unread = [name for name in present if name not in {column.name for column in wanted}]
        if unread and path not in self._told:
            self._told.add(path)
            settings = ", ".join(["keep", *self.fact_settings])
            rank_zero_info(f"{path}: columns that are not read: {', '.join(unread)}; they may be named in {settings}")

    def _say_unjudged(self, path: Path, examples: Sequence[Example]) -> None:
        """Say of how many rows the expected answer cannot be used, and why that of the first."""
        noted = [example for example in examples if UNJUDGED in example.meta]
        if noted:
            rank_zero_info(
                f"{path}: {many(len(noted), 'row')} have an expected answer that cannot be used (the first, "
                f"{noted[0].place}: {noted[0].meta[UNJUDGED]}): they are answered, and compared with nothing"
            )

    def _kept(self, example: Example, record: Record) -> Example:
        for name in self.keep:
            example.meta[name] = record.values[f"keep {name}"]
        return without_reference(example, "; ".join(record.notes)) if record.notes else example


def owner(data: TableData, name: str) -> type:
    """Return the class that says what a method does."""
    return next(kind for kind in type(data).__mro__ if name in vars(kind))


def without_reference(example: Example, reason: str) -> Example:
    """Return a row to answer whose own answer cannot be used, which its ``meta`` says; with no text, an error."""
    if example.text == "":
        return replace(example, error=reason)
    return replace(example, answer=None, reference=None, meta=example.meta | {UNJUDGED: reason})
