"""Translation: a text in one language in, the same in another out."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from lightning.pytorch.utilities import rank_zero_info

from lit_llm.data.base import LMData
from lit_llm.data.hygiene.cleaning import Cleaner
from lit_llm.data.hygiene.orthography import NahuatlOrthography
from lit_llm.data.hygiene.saltillo import Saltillo
from lit_llm.data.records.reading import MAX_LINE_BYTES, Column, Record
from lit_llm.data.settings import refuse_unknown
from lit_llm.data.shots import Pool, Shots, with_shots
from lit_llm.data.stored.cache import apart
from lit_llm.data.tokens.dataset import Example
from lit_llm.data.tokens.prompting import Context
from lit_llm.errors import ConfigError, DataError

SYSTEM = "Eres traductor. Traduce del {source} al {target}. Responde solo con la traducción."
"""What a direction is asked with unless ``prompts`` says otherwise."""


class TranslationData(LMData):
    """Sentence pairs, learned in one direction or in several.

    Files are JSONL, CSV, TSV or Parquet with a column for each language, or plain text with one file for each:
    ``train: data/train.{lang}`` reads ``data/train.es`` and ``data/train.nah``, line by line. Every direction of a pair
    is in the same split. Training pairs are cleaned; texts of other splits are left as they are, because references
    decide the score.

    Args:
        languages: columns of the file and what the prompt calls their languages.
        directions: such as ``es-nah``; by default all.
        varied: column of the language whose variety ``dialect_field`` names; by default the last one.
        dialect_field: column of a pair's variety, named in its prompt.
        origin_field: column that tells where a pair comes from.
        document_field: column of the document that a pair belongs to.
        prompts: system turn by direction; ``{source}`` and ``{target}`` become the languages' names, the varied one
            with its variety: ``náhuatl (huasteca)``. It takes the place of ``system``.
        instructions: what is asked, by direction, put before the text; elsewhere ``instruction``.
        shots: worked examples before a text: some by direction, each a text and its translation, the same for all rows;
            or how they are chosen for each row (``Shots``).
        cleaner: cleans training pairs; by default with all of its steps.
        orthography: one spelling for training targets in the ``varied`` language; none by default.
        saltillo: one mark for the saltillo of the ``varied`` language, in all that is learned and asked; by default
            each text has its own.
        max_line_bytes: longest line of a text file.
        **kwargs: as for ``LMData``.

    Raises:
        ConfigError: if a direction or a column is not among the languages.
    """

    task = "translation"
    fact_settings = ("dialect_field", "origin_field", "document_field")

    def __init__(
        self,
        languages: dict[str, str] | None = None,
        directions: list[str] | None = None,
        varied: str | None = None,
        dialect_field: str = "dialect",
        origin_field: str = "origin",
        document_field: str = "document",
        prompts: dict[str, str] | None = None,
        instructions: dict[str, str] | None = None,
        shots: dict[str, list[list[str]]] | Shots | None = None,
        cleaner: Cleaner | None = None,
        orthography: NahuatlOrthography | None = None,
        saltillo: Saltillo | None = None,
        max_line_bytes: int = MAX_LINE_BYTES,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if self.system is not None:
            raise ConfigError(
                "data.init_args.system: a translation's system turn depends on its direction; set prompts"
            )
        self.languages = languages or {"es": "español", "nah": "náhuatl"}
        self.sides_of = {f"{a}-{b}": (a, b) for a in self.languages for b in self.languages if a != b}
        self.directions = directions or list(self.sides_of)
        self._check("directions", self.directions)
        self.varied = varied or list(self.languages)[-1]
        if self.varied not in self.languages:
            raise ConfigError(f"data.init_args.varied: {self.varied!r} is none of {', '.join(self.languages)}")
        self._check("prompts", prompts or {})
        self.chosen_shots = shots if isinstance(shots, Shots) else None
        self.shots = shots if shots and not isinstance(shots, Shots) else {}
        self._check("shots", self.shots)
        self._check("instructions", instructions or {})
        # All directions, so that a run may answer in one of those that it was trained in.
        self.prompts = dict.fromkeys(self.sides_of, SYSTEM) | (prompts or {})
        self.instructions = instructions or {}
        if wrong := [shot for shots in self.shots.values() for shot in shots if len(shot) != 2]:
            raise ConfigError(f"data.init_args.shots: {wrong[0]} is not a text and its translation")
        self.facts = {"dialect": dialect_field, "origin": origin_field, "document": document_field}
        self.cleaner = cleaner or Cleaner()
        self.orthography, self.saltillo = orthography, saltillo
        self.max_line_bytes = max_line_bytes
        self._pools: dict[str, Pool] = {}

    def read(self, path: Path) -> list[Example]:
        """Return an example for every direction of every pair; see ``stream``."""
        return list(self.stream(path))

    def stream(self, path: Path) -> Iterator[Example]:
        """Yield an example for every direction of every pair.

        Raises:
            DataError: if a pair has neither side, or a text is not of its kind.
        """
        columns = {name: Column(name, required=False, lenient=self.lenient) for name in self.languages}
        if "{lang}" in str(path):
            self._refuse_facts(path)
            yield from self.stream_table(path, columns, self._examples)
            return
        columns |= {key: Column(name, "id", required=False, expected=name != key) for key, name in self.facts.items()}
        unseen = {key for key, name in self.facts.items() if name != key}
        sides = list(self.languages)
        for example in self.stream_table(path, columns, self._examples, either=sides, expect=self._expected(path)):
            unseen -= example.meta.keys()
            yield example
        for key in unseen:
            name = self.facts[key]
            raise DataError(f"{path}: no row has a value in {name!r}, which data.init_args.{key}_field names")

    def select(self, name: str, examples: list[Example]) -> list[Example]:
        """Clean training pairs; elsewhere leave out rows whose source is missing, and those without a reference.

        Everything that is left out is counted under the split's name.
        """
        if name == "train":
            return list(self._clean(examples))
        answered = name != "predict"
        if not answered:
            examples = self._with_missing(examples)
        kept = [e for e in examples if e.error or (e.text.strip() and (e.answer or not answered))]
        self.counts[f"{name} without text or reference"] = len(examples) - len(kept)
        if len(kept) < len(examples):
            rank_zero_info(f"{name}: {len(examples) - len(kept)} of {len(examples)} rows have no text or no reference")
        return kept

    def selected(self, name: str, examples: Iterable[Example]) -> Iterator[Example]:
        """Yield what ``select`` returns: training pairs one by one."""
        return self._clean(examples) if name == "train" else iter(self.select(name, list(examples)))

    def chosen(self, name: str, path: Path) -> list[Example]:
        """Return the pairs of a file that a split uses, with examples where they are chosen for each row."""
        rows = super().chosen(name, path)
        if not self.chosen_shots:
            return rows
        if name == "train":
            self._fill_pools(rows)
        return with_shots(self._opened_pools(), rows, learned=name == "train")

    def chosen_one_by_one(self, name: str, path: Path) -> Iterator[Example]:
        """Yield what ``chosen`` returns; examples of a row may stand behind it, so all rows are read before."""
        yield from self.chosen(name, path) if self.chosen_shots else super().chosen_one_by_one(name, path)

    def row_facts(self) -> dict[str, Any]:
        """Return what decides the rows of a file: also the training pairs, where examples come from them."""
        if not self.chosen_shots or not self.files["train"]:
            return {}
        sums = [hashlib.sha256(file.read_bytes()).hexdigest() for file in self.files_at(Path(self.files["train"]))]
        return {"shots": [sums, self.chosen_shots.facts(self.seed)]}

    def read_splits(self) -> dict[str, list[Example]]:
        """Return the examples of all splits, their targets in the spelling of the files."""
        # A spelling that only training targets are given would hide that a reference stands among them.
        spelling = self.orthography, self.saltillo
        self.orthography = self.saltillo = None
        try:
            return super().read_splits()
        finally:
            self.orthography, self.saltillo = spelling

    def sides(self, example: Example) -> dict[str, str]:
        """Return both texts of a pair by language; each pair is looked at once, whatever its directions."""
        direction = example.meta["direction"]
        if example.answer and direction != self.directions[0]:
            return {}
        source, target = self.sides_of[direction]
        return {source: example.text, target: example.answer or ""}

    def conversations(self) -> dict[str, list[dict[str, str]]]:
        """Return the turns before a translation by direction; rows whose variety is known name it too."""
        return {name: self.context(name, None).messages("{text}", None) for name in self.directions}

    def question(self, text: str, **facts: Any) -> Example:
        """Return a text to translate.

        Args:
            text: in the source language.
            facts: ``direction``, such as ``es-nah``, which may be left out where the run answers in one alone;
                ``dialect``: the variety, as rows name it.

        Raises:
            ConfigError: if the run does not answer in that direction, or in several and none is named.
        """
        refuse_unknown(self.task, facts, ("direction", "dialect"))
        direction = facts.get("direction") or (self.directions[0] if len(self.directions) == 1 else None)
        if direction not in self.directions:
            asked = "is not named" if direction is None else f"is {direction!r}"
            raise ConfigError(f"direction {asked}: this run answers {', '.join(self.directions)}; name one of them")
        dialect = facts.get("dialect")
        meta = {"direction": direction} | ({"dialect": dialect} if dialect else {})
        asked = self._asked(text, direction)
        example = replace(super().question(asked), meta=meta, context=self.context(direction, dialect))
        return with_shots(self._opened_pools(), [example], learned=False)[0] if self.chosen_shots else example

    def ask(self, text: str) -> list[int]:
        """Return the prompt of a text in the first direction, as token ids."""
        example = self.question(text, direction=self.directions[0])
        return self.format.encode(example.text, None, context=example.context).input_ids

    def template_fingerprint(self) -> str:
        """Return a hash of how conversations are written, every direction's prompt included."""
        by_direction = [sorted(part.items()) for part in (self.prompts, self.instructions, self.shots)]
        shown = repr([*by_direction, self.languages, *([self.chosen_shots] if self.chosen_shots else [])])
        return hashlib.sha256(f"{super().template_fingerprint()}{shown}".encode()).hexdigest()[:16]

    def postprocess(self, raw: str, meta: Mapping[str, Any]) -> tuple[str, str, str]:
        """Return the translation without the white space around it."""
        return raw.strip(), "ok", ""

    def settled(self, raw: str, meta: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return a translation with the saltillo that answers are written with."""
        to_varied = self.sides_of[meta["direction"]][1] == self.varied
        return (self.saltillo.answered(raw) if self.saltillo and to_varied else raw), {}

    def context(self, direction: str, dialect: str | None) -> Context:
        """Return what stands before a text of a direction and, where it is known, a variety."""
        names = dict(self.languages)
        if dialect:
            names[self.varied] = f"{names[self.varied]} ({dialect})"
        source, target = self.sides_of[direction]
        system = self.prompts[direction].replace("{source}", names[source]).replace("{target}", names[target])
        to_varied = target == self.varied
        shots = tuple(
            (self._asked(text, direction), self._respelled(answer) if to_varied else answer)
            for text, answer in self.shots.get(direction, [])
        )
        return Context(system, self.instructions.get(direction, self.instruction), shots)

    def files_at(self, path: Path) -> list[Path]:
        """Return the files that a setting names, one for each language where ``{lang}`` stands in it."""
        return [Path(str(path).replace("{lang}", name)) for name in self.languages] if "{lang}" in str(path) else [path]

    def _examples(self, record: Record) -> list[Example]:
        facts = {key: record.values[key] for key in self.facts if record.values.get(key)}
        found = []
        for direction in self.directions:
            source, target = self.sides_of[direction]
            text, answer = record.values.get(source), record.values.get(target)
            if text is None and answer is None:
                continue
            row_id = record.id if len(self.directions) == 1 else f"{record.id}/{direction}"
            meta = {"direction": direction, "pair": record.id, **facts}
            context = self.context(direction, facts.get("dialect"))
            asked = self._asked(text or "", direction)
            found.append(Example(row_id, asked, answer, answer, record.place, meta, context))
        return found

    def _fill_pools(self, rows: Sequence[Example]) -> None:
        shots = cast(Shots, self.chosen_shots)
        for name in self.directions:
            spelled = self._respelled if self.sides_of[name][1] == self.varied else str
            self._pools[name] = Pool(shots, [row for row in rows if row.meta["direction"] == name], self.seed, spelled)

    def _opened_pools(self) -> dict[str, Pool]:
        if not self._pools:
            if not (train := self.files["train"]):
                raise ConfigError("data.init_args.shots: examples are chosen from data.init_args.train: name its file")
            with apart(self, strictly=True):
                self._fill_pools(super().chosen("train", Path(train)))
        return self._pools

    def _asked(self, text: str, direction: str) -> str:
        from_varied = self.sides_of[direction][0] == self.varied
        return self.saltillo.asked(text) if self.saltillo and from_varied else text

    def _clean(self, examples: Iterable[Example]) -> Iterator[Example]:
        """Yield the examples of pairs that are worth learning from, cleaned; each pair is counted once."""
        before = Counter(self.cleaner.counts)
        pair: str | None = None
        mended: dict[frozenset[str], dict[str, str] | None] = {}
        for example in examples:
            # The directions of a pair follow one another.
            if example.meta["pair"] != pair:
                pair, mended = example.meta["pair"], {}
            source, target = self.sides_of[example.meta["direction"]]
            sides = frozenset((source, target))
            if sides not in mended:
                both = {source: self.cleaner.mend(example.text), target: self.cleaner.mend(example.answer or "")}
                mended[sides] = None if self.cleaner.fault(*both.values()) else both
            if written := mended[sides]:
                yield self._written(example, written[source], written[target])
        changes = self.cleaner.counts - before
        self.counts.update({f"train cleaned, {step}": count for step, count in changes.items()})

    def _with_missing(self, examples: list[Example]) -> list[Example]:
        """Return the rows to answer; one without a text in a direction that others have a text in cannot be."""
        served = {example.meta.get("direction") for example in examples if example.text.strip() and not example.error}
        found = []
        for example in examples:
            direction = str(example.meta.get("direction"))
            blank = not example.error and not example.text.strip() and direction in served
            source = self.sides_of[direction][0] if blank else ""
            found.append(replace(example, error=f"field {source!r}: has no text") if blank else example)
        return found

    def _written(self, example: Example, text: str, answer: str) -> Example:
        if self.sides_of[example.meta["direction"]][1] == self.varied:
            answer = self._respelled(answer)
        return replace(example, text=self._asked(text, example.meta["direction"]), answer=answer, reference=answer)

    def _respelled(self, text: str) -> str:
        """Return a text of the varied language as it is learned."""
        text = self.orthography.write(text) if self.orthography else text
        return self.saltillo.asked(text) if self.saltillo else text

    def _expected(self, path: Path) -> list[list[str]]:
        """Return groups of columns, of which a file needs one: all to train, a pair to measure, a source to answer."""
        pairs = [self.sides_of[direction] for direction in self.directions]
        if self.files["train"] and path == Path(self.files["train"]):
            return [list(dict.fromkeys(side for pair in pairs for side in pair))]
        to_answer = self.files["predict"] is not None and path == Path(self.files["predict"])
        return [[pair[0]] if to_answer else list(pair) for pair in pairs]

    def _refuse_facts(self, path: Path) -> None:
        """Refuse a column that the configuration names where there are no columns."""
        if named := [key for key, name in self.facts.items() if name != key]:
            raise ConfigError(
                f"data.init_args.{named[0]}_field: {path} is plain text, which has no column "
                f"{self.facts[named[0]]!r}: write its pairs as a table, with a column for each of "
                f"{', '.join([*self.languages, self.facts[named[0]]])}, or leave the setting out"
            )

    def _check(self, name: str, directions: Iterable[str]) -> None:
        if unknown := [direction for direction in directions if direction not in self.sides_of]:
            raise ConfigError(
                f"data.init_args.{name}: {unknown[0]!r} is no direction; there are {', '.join(self.sides_of)}"
            )
