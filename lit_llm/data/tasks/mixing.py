"""Several sources, of one task or of several, learned together in chosen proportions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from lit_llm.data.base import LMData
from lit_llm.data.batches.batching import PlannedLoader
from lit_llm.data.batches.shares import Share, shares
from lit_llm.data.hygiene.auditing import AuditReport
from lit_llm.data.settings import stage_name
from lit_llm.data.tokens.dataset import Example, Row, Split
from lit_llm.errors import ConfigError

MANY_REPEATS = 10
"""Seeing a row more often than this over a whole run is warned of: it is learned by heart."""

PART = "part"
"""Key of a row's meta that names its source."""


class _Joined(Dataset[Row]):
    """The training rows of all sources, one source after the other."""

    def __init__(self, splits: list[Split]) -> None:
        self.splits = splits
        self.starts = [0, *accumulate(map(len, splits))]

    def __len__(self) -> int:
        return self.starts[-1]

    def __getitem__(self, key: tuple[int, int]) -> Row:
        epoch, index = key
        # A row that only fills a batch may come from anywhere.
        if index < 0:
            return self.splits[0][key]
        place = next(k for k, start in enumerate(self.starts[1:]) if index < start)
        return self.splits[place][(epoch, index - self.starts[place])]


class MixedData(LMData):
    """Data modules that are trained on together; each row keeps its own task's prompt, and metrics are per source.

    An epoch holds every source in its proportion, as sampler weights: rows are never copied on disk or between splits,
    and which rows of a source are repeated differs from epoch to epoch. A validation gives ``val/<part>/…`` for every
    source, and ``val/loss`` over all; a test ``test/<part>.<file>/…``.

    Args:
        parts: data modules by name; their training batch sizes are not used.
        multipliers: how often an epoch holds each row of a source; 10 shows it ten times, 0.5 half of it.
        weights: shares of the epoch by source, in any unit.
        temperature: evens out the sources, ``p ∝ n^(1/temperature)``.
        caps: most of an epoch that a source may make up.
        batch_size: rows of one forward pass in training, on one process.
        pad_to_multiple_of: as for ``LMData``.
        packing: as for ``LMData``; not where a source has clips.
        num_workers: processes that load ahead.
        seed: of shuffling and sampling; by default that of ``seed_everything``.

    Raises:
        ConfigError: if there are no parts, or the proportions are not possible.
    """

    task = "mixed"

    def __init__(
        self,
        parts: dict[str, LMData],
        multipliers: dict[str, float] | None = None,
        weights: dict[str, float] | None = None,
        temperature: float = 1.0,
        caps: dict[str, float] | None = None,
        batch_size: int = 8,
        pad_to_multiple_of: int = 8,
        packing: bool = False,
        num_workers: int = 0,
        seed: int | None = None,
    ) -> None:
        self.reads_texts = all(getattr(part, "reads_texts", True) for part in parts.values())
        super().__init__(
            batch_size=batch_size,
            pad_to_multiple_of=pad_to_multiple_of,
            packing=packing,
            num_workers=num_workers,
            seed=seed,
        )
        if not parts or any("/" in name or "." in name for name in parts):
            raise ConfigError(f"data.init_args.parts: {list(parts)}: name at least one, without '/' and '.'")
        if budgeted := [name for name, part in parts.items() if part.max_batch_tokens is not None]:
            raise ConfigError(
                f"data.init_args.parts.{budgeted[0]}.max_batch_tokens: a mixture draws its rows anew in every epoch, "
                "so the number of batches would not be fixed: leave it out, and set batch_size of the mixture"
            )
        if packed := [name for name, part in parts.items() if part.packing]:
            raise ConfigError(
                f"data.init_args.parts.{packed[0]}.packing: a batch holds rows of all parts: set packing of the mixture"
            )
        self.parts = parts
        self.proportions: dict[str, Any] = {
            "multipliers": multipliers,
            "weights": weights,
            "temperature": temperature,
            "caps": caps,
        }
        shares(dict.fromkeys(parts, 1), **self.proportions)
        for name, part in parts.items():
            part.prefix = f"{name}."

    @property
    def tokenizer(self) -> Any:
        """The model's, which the parts write their prompts with."""
        return self._tokenizer

    @tokenizer.setter
    def tokenizer(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        for part in getattr(self, "parts", {}).values():
            part.tokenizer = tokenizer

    @property
    def tasks(self) -> set[str]:
        """The tasks of all sources."""
        return {task for part in self.parts.values() for task in part.tasks}

    @property
    def main_task(self) -> None:
        """None: every source logs its own metrics."""
        return

    def labelled_files(self, stage: str) -> dict[str, str]:
        """Return the files that a stage reads in all sources, by what batches call their split."""
        serving = self._serving(stage).values()
        return {label: path for part in serving for label, path in part.labelled_files(stage).items()}

    def read(self, path: Path) -> list[Example]:
        """Refuse: only the sources know their files."""
        raise ConfigError(f"{path}: MixedData reads no file itself; name files in its parts")

    def setup(self, stage: str) -> None:
        """Set up the sources; a row's id and meta name the source that it comes from."""
        self._take_tokenizer()
        serving = self._serving(stage)
        if not serving:
            raise ConfigError(f"data.init_args.parts: `{stage_name(stage)}` needs a file, and no part names one for it")
        for part in self.parts.values():
            part.trainer = self.trainer
        for name, part in serving.items():
            known = set(part.splits)
            part.setup(stage)
            for split in set(part.splits) - known:
                part.splits[split].rename(partial(self._named, name))

    def note_skipped(self) -> None:
        """Write what each source left out."""
        for part in self.parts.values():
            part.note_skipped()

    def plan(self) -> list[Share]:
        """Return the share of every source in an epoch."""
        sizes = {name: len(part.splits["train"]) for name, part in self.parts.items()}
        return shares(sizes, **self.proportions)

    def train_dataloader(self) -> PlannedLoader:
        """Return the loader of all sources; its steps depend on seed and epoch alone."""
        splits = [part.splits["train"] for part in self.parts.values()]
        lengths = [length for split in splits for length in split.lengths()]
        return self._train_loader(_Joined(splits), lengths, self.draw)

    def pad_id(self) -> int:
        """Return the token that fills short rows."""
        return next(iter(self.parts.values())).pad_id()

    def draw(self, epoch: int) -> list[int]:
        """Return the rows of an epoch, counted over all sources one after the other."""
        plan = self.plan()
        starts = accumulate([share.unique for share in plan], initial=0)
        return [start + row for share, start in zip(plan, starts, strict=False) for row in share.draw(self.seed, epoch)]

    def val_dataloader(self) -> Any:
        """Return the loader of each source's validation split."""
        return [part.val_dataloader() for part in self.parts.values() if "valid" in part.splits]

    def test_dataloader(self) -> Any:
        """Return the loaders of all sources' test files."""
        return [loader for part in self.parts.values() if part.test_files for loader in part.test_dataloader()]

    def predict_dataloader(self) -> Any:
        """Return the loaders of all sources, without the batches whose rows are all in ``finished_ids``."""
        serving = self._serving("predict").values()
        for part in serving:
            part.finished_ids = self.finished_ids
        return [loader for part in serving for loader in part.predict_dataloader()]

    def row_order(self) -> list[str]:
        """Return the ids of all rows to predict, source by source."""
        return [row_id for part in self._serving("predict").values() for row_id in part.row_order()]

    def postprocess(self, raw: str, meta: Mapping[str, Any]) -> tuple[str, str, str]:
        """Return what the row's own source makes of a generated text."""
        return self.parts[meta[PART]].postprocess(raw, meta)

    def settled(self, raw: str, meta: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return a generated text as the row's own source settles it."""
        return self.parts[meta[PART]].settled(raw, meta)

    def conversations(self) -> dict[str, list[dict[str, str]]]:
        """Return the turns before an answer by part, and by what its rows differ in."""
        return {
            f"{name} {inner}".strip(): turns
            for name, part in self.parts.items()
            for inner, turns in part.conversations().items()
        }

    def template(self) -> str | dict[str, str]:
        """Return the chat template of the parts; where they differ, each by the part's name, and the first as default.

        Raises:
            ConfigError: if a part is called ``default`` and is not the first.
        """
        found = {name: str(part.template()) for name, part in self.parts.items()}
        first = next(iter(found.values()))
        if len(set(found.values())) == 1:
            return first
        if found.get("default", first) != first:
            raise ConfigError(
                "data.init_args.parts: 'default' names the first part's template: call the part otherwise"
            )
        return {"default": first} | found

    def source(self, part: str | None = None) -> Any:
        """Return a part, which may be left unnamed where it is the only one.

        Raises:
            ConfigError: if there is no such part, or there are several and none is named.
        """
        name = part or (next(iter(self.parts)) if len(self.parts) == 1 else None)
        if name not in self.parts:
            asked = "is not named" if name is None else f"is {name!r}"
            raise ConfigError(f"part {asked}: this run was trained on {', '.join(self.parts)}; name one of them")
        return self.parts[name].source()

    def sides(self, example: Example) -> dict[str, str]:
        """Return what the row's own source compares between splits."""
        return self.parts[example.meta[PART]].sides(example)

    def read_splits(self) -> dict[str, list[Example]]:
        """Return all training rows as one split, all validation rows as another, and every test file."""
        found: dict[str, list[Example]] = {}
        for name, part in self.parts.items():
            for split, rows in part.read_splits().items():
                key = split if split in ("train", "valid", "predict") else f"{name}.{split}"
                found.setdefault(key, []).extend(self._named(name, example) for example in rows)
            self.counts.update({f"{name}: {key}": count for key, count in part.counts.items()})
        return found

    def training_answers(self, most: int) -> Iterator[list[int]]:
        """Yield training answers of all sources."""
        for part in self.parts.values():
            yield from part.training_answers(most // len(self.parts))

    def template_fingerprint(self) -> str:
        """Return a hash of how the conversations of all sources are written."""
        prints = repr({name: part.template_fingerprint() for name, part in self.parts.items()})
        return hashlib.sha256(prints.encode()).hexdigest()[:16]

    def fingerprint(self) -> dict[str, str]:
        """Return what decides the rows of ``predict``, for every source."""
        serving = self._serving("predict")
        return {f"{name}.{key}": v for name, part in serving.items() for key, v in part.fingerprint().items()}

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must agree on: how conversations are written and how many rows an epoch has."""
        trained = all("train" in part.splits for part in self.parts.values())
        rows = sum(share.effective for share in self.plan()) if trained else 0
        content = " ".join(part.splits["train"].content for part in self.parts.values()) if trained else ""
        valid = " ".join(part.splits["valid"].content for part in self.parts.values() if "valid" in part.splits)
        facts = {"template": self.template_fingerprint(), "task": self.task, "rows": rows, "content": content}
        return facts | {"valid": valid} | self.progress.state_dict(self._position()[1])

    def audit(self, samples: int = 3) -> AuditReport:
        """Show the plan of the mixture, and the counts and rows of every source."""
        reports = {name: part.audit(1) for name, part in self.parts.items()}
        counts = {f"{name}: {key}": count for name, report in reports.items() for key, count in report.counts.items()}
        shown = [sample for report in reports.values() for sample in report.samples]
        return AuditReport(counts, shown, self._notes())

    def _notes(self) -> list[str]:
        plan = self.plan()
        total = sum(share.effective for share in plan)
        epochs = self._epochs(total)
        notes = []
        for share in plan:
            part = f"{share.effective:,} of {total:,} rows ({share.effective / total:.1%})"
            notes.append(f"{share.name}: {share.unique:,} unique rows, {share.repeats:.2f} times an epoch: {part}")
            if share.repeats * epochs > MANY_REPEATS:
                seen = f"{share.repeats * epochs:.0f} times in {epochs:.3g} epochs"
                notes.append(f"warning: {share.name}: each row is seen {seen}, and will be learned by heart")
        return notes

    def _epochs(self, total: int) -> float:
        """Return how many epochs of so many rows a run has, whether ``max_epochs`` or ``max_steps`` ends it."""
        if self.trainer is None:
            return 1.0
        rows = self.batch_size * self.trainer.accumulate_grad_batches * self.trainer.world_size
        limits = (float(self.trainer.max_epochs or 0), self.trainer.max_steps * rows / total)
        return min((limit for limit in limits if limit > 0), default=1.0)

    def serves(self, stage: str) -> bool:
        """Whether any source names a file for a stage."""
        return bool(self._serving(stage))

    def _serving(self, stage: str) -> dict[str, LMData]:
        """Return the sources that a stage is about: all that are trained on, elsewhere those with a file for it."""
        return {name: part for name, part in self.parts.items() if stage == "fit" or part.serves(stage)}

    def _named(self, name: str, example: Example) -> Example:
        return replace(example, id=f"{name}/{example.id}", meta={PART: name} | example.meta)
