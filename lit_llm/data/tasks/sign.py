"""Sign language translation: the frames of a clip in, a sentence out."""

from __future__ import annotations

import hashlib
import random
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lit_llm.batch import IGNORE, Batch
from lit_llm.data.base import LMData
from lit_llm.data.batches.collating import collate
from lit_llm.data.clips import ClipChanges, Corruption, clip_length, corrupted, sampled, vectors
from lit_llm.data.clips.rows import ClipExample, ClipSplit, asked_clip, clip_of, views_of
from lit_llm.data.records.reading import Column, Record
from lit_llm.data.settings import positive, refuse_unknown
from lit_llm.data.tokens.dataset import NOTHING, Example, Row
from lit_llm.data.tokens.prompting import Context, Encoded
from lit_llm.errors import ConfigError, DataError
from lit_llm.seeding import derive

INSTRUCTION = "Translate the sign language video into {lang}:"
"""What is asked unless ``instruction`` says otherwise; the clip stands behind it, or at ``{text}``."""

ALIASES = {"valid": ("val", "dev", "validation")}
"""What manifests call a split besides its own name."""

OPTIONAL = ("lang", "split", "video_id", "length", "key")
"""Columns that a manifest may have."""

CHUNK = 2048
"""Sentences that are cut into tokens at a time."""

_MARK = "\ue000"


class SignData(LMData):
    """Clips of sign language and the sentences that they mean.

    A file is a manifest, JSONL or CSV, with the columns ``path`` and ``text`` and, where known, ``id``, ``lang``,
    ``split``, ``video_id``, ``length`` (frames) and ``key``. One manifest may serve for all splits: of a file with a
    column ``split``, the rows whose value is the split's name are used. Paths are relative to ``clips``, or else to the
    manifest. Texts are brought into Unicode NFKC with single spaces. A clip that is longer than ``max_frames`` is
    sampled evenly; its end is never cut.

    Args:
        clips: folder that paths in manifests are relative to; by default the manifest's.
        lang: what the language of the sentences is called in the prompt, where rows do not say.
        changes: what training does to clips; nothing by default.
        max_frames: most frames of a clip.
        downsample: how many frames one position of the model stands for; the product of its adaptor's strides.
        missing: what a row without its file is: an ``error``, or ``drop`` to leave it out, counted.
        least_match: share of a manifest's rows that must have their file nevertheless.
        corrupt: spoils clips, to see that a score falls: ``rolled`` gives each row another's, ``zeroed`` blanks them,
            ``reversed`` runs them backwards, ``shuffled`` mixes their frames.
        **kwargs: as for ``LMData``; ``overflow`` may be ``error`` or ``drop``.

    Raises:
        ConfigError: if a value is not possible.
    """

    task = "sign"
    reads_texts = False

    def __init__(
        self,
        clips: str | None = None,
        lang: str = "English",
        changes: ClipChanges | None = None,
        max_frames: int = 512,
        downsample: int = 4,
        missing: Literal["error", "drop"] = "error",
        least_match: float = 0.9,
        corrupt: Corruption = "none",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if self.augmenter is not None:
            raise ConfigError("data.init_args.augmenter: it rewrites texts, and a clip is none; set changes")
        if self.overflow == "truncate_input":
            raise ConfigError("data.init_args.overflow: clips are sampled to max_frames, never cut; use error or drop")
        self.clips, self.lang, self.changes = clips, lang, changes
        self.max_frames, self.downsample = positive("max_frames", max_frames), positive("downsample", downsample)
        self.missing, self.least_match, self.corrupt = missing, least_match, corrupt
        self.instruction = self.instruction or INSTRUCTION
        self._size: int | None = None
        self.read_manifest = lru_cache(maxsize=4)(self._read_manifest)

    @property
    def feature_size(self) -> int:
        """Numbers of a frame, from the first clip of the first split that is set up.

        Raises:
            UserError: if nothing is set up.
        """
        split = next(iter(self.splits.values()), None)
        if split is None:
            raise ConfigError("data: the size of features is known after setup()")
        return int(self._frames_of(next(example for example in split.examples if not example.error)).shape[1])

    def read(self, path: Path) -> list[Example]:
        """Return the rows of a manifest.

        Raises:
            DataError: if a row has no path or no text, or too many files are missing.
        """
        return list(self.read_manifest(path, self.lenient))

    def select(self, name: str, examples: list[Example]) -> list[Example]:
        """Return the rows of a split, where the manifest tells them apart."""
        if not any("split" in example.meta for example in examples):
            return examples
        if blank := [example for example in examples if not example.meta.get("split") and not example.error]:
            raise DataError(f"{blank[0].place}: field 'split' is empty, but other rows name theirs: fill it in")
        known = {name, *ALIASES.get(name, ())}
        kept = [
            replace(e, meta={k: v for k, v in e.meta.items() if k != "split"})
            for e in examples
            if e.meta.get("split") in known or e.error
        ]
        if not kept:
            found = sorted({str(e.meta.get("split")) for e in examples})
            raise DataError(
                f"{examples[0].place}: no row of the manifest has the split {name!r}; there are {', '.join(found)}"
            )
        self.counts[f"{name}: rows of other splits"] = len(examples) - len(kept)
        return kept

    def sides(self, example: Example) -> dict[str, str]:
        """Return the video that a clip was cut from, or the sentence where it is not known.

        People say the same short sentences in many videos; it is the video that gives away signer and subject.
        """
        video = example.meta.get("document")
        if video is None:
            return {"text": example.answer or ""}
        # As a hash, because names of different videos may be nearly the same.
        return {"video": hashlib.blake2b(str(video).encode(), digest_size=16).hexdigest()}

    def encode(self, name: str, examples: list[Example]) -> ClipSplit:
        """Return the rows of a split: tokens now, clips when they are asked for.

        Raises:
            DataError: if a row is longer than ``max_length`` and is not to be dropped.
        """
        rows = self._encoded(examples)
        slowest = self.changes.longest if self.changes and name == "train" else int
        split = ClipSplit(
            name, rows, self._load_clip, self.downsample, lambda frames: min(self.max_frames, slowest(frames))
        )
        if name not in ("train", "valid"):
            return split
        lengths = split.lengths()
        long = {at for at, length in enumerate(lengths) if length > self.max_length}
        if long and self.overflow == "error":
            example = rows[min(long)].example
            raise DataError(
                f"{example.place if example else name}: {lengths[min(long)]} positions exceed max_length "
                f"{self.max_length}: raise data.init_args.max_length, lower max_frames, or set overflow to drop"
            )
        if name == "train":
            split.rows, split.dropped = [row for at, row in enumerate(rows) if at not in long], len(long)
        return split

    def collate(self, rows: list[Row], split: str, *, generate: bool) -> Batch:
        """Join rows into a batch, with the frames of their clips padded behind."""
        pad, multiple = self.pad_id(), self.pad_to_multiple_of
        return collate(rows, split, self.task, pad, multiple, generate=generate, downsample=self.downsample)

    def fingerprint(self) -> dict[str, str]:
        """Return what decides the rows of ``predict``, which clips they show among it."""
        shown = [
            (example.path, example.key, example.length)
            for name in self.needed("predict")
            for example in self.splits[name].examples
            if isinstance(example, ClipExample)
        ]
        digest = hashlib.sha256(repr([shown, self.max_frames, self.corrupt]).encode()).hexdigest()[:16]
        return super().fingerprint() | {"clips": digest}

    def template_fingerprint(self) -> str:
        """Return a hash of how conversations are written, the language that they name included."""
        return hashlib.sha256(f"{super().template_fingerprint()}{self.lang}".encode()).hexdigest()[:16]

    def conversations(self) -> dict[str, list[dict[str, str]]]:
        """Return the turns before a sentence; ``{text}`` stands for the clip."""
        return {"": self.context(self.lang).messages("{text}", None)}

    def question(self, text: str, **facts: Any) -> Example:
        """Return a clip to translate; the text is its path, as it is or under ``clips``.

        Args:
            text: the path.
            facts: ``lang`` of the answer, as rows name it; ``key`` of the clip in a file of several.
        """
        refuse_unknown(self.task, facts, ("lang", "key"))
        return asked_clip(text, self.clips, facts.get("key"), facts.get("lang"))

    def expect(self, size: int) -> None:
        """Refuse clips, from now on, whose frames are not of so many numbers."""
        self._size = size

    def ask(self, text: str) -> list[int]:
        """Refuse with a ConfigError: a clip cannot be typed."""
        raise ConfigError("data: a model of clips answers no text; name a manifest in data.init_args.predict")

    def views(self, row_id: str) -> dict[str, NDArray[np.float32]]:
        """Return the clip of a validation row for people to look at: as it is read, and as training changes it."""
        example = next(e for e in self.splits["valid"].examples if e.id == row_id and isinstance(e, ClipExample))
        return views_of(example, self.changes)

    def context(self, lang: str) -> Context:
        """Return what stands before a clip whose sentence is in a language."""
        instruction = (self.instruction or INSTRUCTION).replace("{lang}", lang)
        return Context(self.system, instruction)

    def _read_manifest(self, path: Path, lenient: bool) -> tuple[Example, ...]:
        to_answer = self.files["predict"] is not None and path == Path(self.files["predict"])
        columns = {
            "path": Column("path"),
            "text": Column("text", required=not to_answer, lenient=lenient),
            **{name: Column(name, kind="id", required=False) for name in OPTIONAL},
        }
        folder = Path(self.clips) if self.clips else path.parent
        lost: list[Record] = []

        def make(record: Record) -> list[Example]:
            if (folder / record.values["path"]).exists():
                return [self._example(record, folder)]
            if lenient:
                raise DataError(f"field 'path': {record.values['path']!r} does not exist")
            lost.append(record)
            return []

        examples = self.read_table(path, columns, make)
        if lost:
            self._refuse_lost(lost, len(examples) + len(lost))
        self.counts[f"{path.name} without a clip"] = len(lost)
        return tuple(examples)

    def _refuse_lost(self, lost: Sequence[Record], rows: int) -> None:
        what = f"{lost[0].place}: field 'path': {lost[0].values['path']!r} does not exist"
        if self.missing == "error":
            raise DataError(
                f"{what}, nor do {len(lost) - 1} others of {rows}: mend the manifest, or set data.init_args.missing "
                "to drop"
            )
        if rows - len(lost) < self.least_match * rows:
            raise DataError(
                f"{what}; only {rows - len(lost)} of {rows} rows have their file, less than data.init_args.least_match "
                f"{self.least_match}: is data.init_args.clips right?"
            )

    def _example(self, record: Record, folder: Path) -> ClipExample:
        values = record.values
        text = " ".join(unicodedata.normalize("NFKC", values["text"] or "").split()) or None
        meta = {name: values[name] for name in ("lang", "split") if values.get(name)}
        if values.get("video_id"):
            meta["document"] = values["video_id"]
        clip = str(folder / values["path"])
        length = values.get("length")
        if length is not None and not (str(length).isdecimal() and int(length) > 0):
            raise DataError(f"{record.place}: field 'length': {length!r} is not a number of frames")
        frames = int(length) if length is not None else clip_length(Path(clip), values.get("key"))
        where: dict[str, Any] = {"path": clip, "key": values.get("key"), "length": frames}
        return ClipExample(record.id, record.id, text, text, record.place, meta, **where)

    def _encoded(self, examples: list[Example]) -> list[Row]:
        # Sentences are cut into tokens on their own, many at once: a template rendered for each would take minutes.
        answers = self._tokens([example.answer or "" for example in examples])
        ends: dict[str, tuple[list[int], list[int], list[int]]] = {}
        rows = []
        for example, answer in zip(examples, answers, strict=True):
            if example.error:
                rows.append(Row(example, NOTHING))
                continue
            lang = example.meta.get("lang") or self.lang
            try:
                ends[lang] = ends.get(lang) or self._around(lang)
                self.format.refuse_control_tokens(None if self.lenient else example.answer, None, self.context(lang))
            except DataError as error:
                if self.lenient:
                    rows.append(Row(replace(example, error=str(error)), NOTHING))
                    continue
                raise DataError(f"{example.place}: {error}") from None
            before, behind, end = ends[lang]
            prompt = [*before, *behind]
            learned = [*answer, *end] if example.answer is not None else []
            everything = self.learn == "text"
            labels = [*(prompt if everything else [IGNORE] * len(prompt)), *learned]
            slots = range(len(before), len(before))
            rows.append(Row(example, Encoded([*prompt, *learned], labels, len(prompt), slots=slots)))
        return rows

    def _tokens(self, texts: list[str]) -> Iterator[list[int]]:
        """Yield the tokens of texts; equal ones are one object, since millions of numbers take hundreds of MiB."""
        tokenizer: Any = self.format.tokenizer
        known: dict[int, int] = {}
        for start in range(0, len(texts), CHUNK):
            some = texts[start : start + CHUNK]
            for ids in tokenizer(some, add_special_tokens=False, return_attention_mask=False)["input_ids"]:
                yield [known.setdefault(token, token) for token in ids]

    def _around(self, lang: str) -> tuple[list[int], list[int], list[int]]:
        """Return the tokens before a clip, those between it and the answer, and those that end the answer."""
        context = self.context(lang)
        # Checks that the conversation begins with the prompt.
        self.format.encode(_MARK, "a", context=context)
        before, behind = self.format.render(_MARK, context=context).split(_MARK)
        end = self.format.render(_MARK, _MARK, context).rpartition(_MARK)[2].rstrip()
        tokenizer: Any = self.format.tokenizer
        found = [tokenizer(part, add_special_tokens=False)["input_ids"] for part in (before, behind, end)]
        return found[0], found[1], found[2]

    def _load_clip(self, split: ClipSplit, epoch: int, index: int) -> NDArray[np.float32]:
        example = split.rows[index].example
        if self.corrupt == "rolled":
            example = split.rows[(index + 1) % len(split.rows)].example
        seed = derive(self.seed, "clip", split.name, epoch, index)
        return self._frames_of(example, random.Random(seed), training=split.name == "train")

    def _frames_of(
        self, example: Example | None, rng: random.Random | None = None, *, training: bool = False
    ) -> NDArray[np.float32]:
        """Return the frames ``[L, C]`` of a clip as a model sees them."""
        example, clip = clip_of(example)
        rng = rng or random.Random(0)
        values = clip.values
        if training and self.changes:
            values = self.changes.apply(values, rng, is_pose=clip.is_pose)
        values = values[sampled(len(values), self.max_frames, rng if training else None)]
        frames = vectors(values) if clip.is_pose else np.ascontiguousarray(values, dtype=np.float32)
        self._size = self._size or frames.shape[1]
        if frames.shape[1] != self._size:
            raise DataError(
                f"{example.place}: {example.path} has {frames.shape[1]} numbers a frame, clips before it {self._size}"
            )
        return corrupted(frames, self.corrupt, rng)
