"""Several sources, of one task or of several, learned together in chosen proportions."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from lit_llm.data.base import LMData
from lit_llm.data.batches.batching import PlannedLoader
from lit_llm.data.hygiene.auditing import AuditReport
from lit_llm.data.settings import stage_name
from lit_llm.data.tokens.dataset import Example, Row, Split
from lit_llm.errors import ConfigError

MANY_REPEATS = 10
"""Seeing a row more often than this over a whole run is warned of: it is learned by heart."""

PART = "part"
"""Key of a row's meta that names its source."""


@dataclass(frozen=True)
class Share:
    """How much of an epoch one source makes up.

    Attributes:
        name: of the source.
        unique: rows that it has.
        effective: rows of it in an epoch.
    """

    name: str
    unique: int
    effective: int

    @property
    def repeats(self) -> float:
        """How often an epoch holds each of its rows, on average."""
        return self.effective / self.unique

    def draw(self, seed: int, epoch: int) -> list[int]:
        """Return the rows of an epoch: all of them as often as they fit, and others drawn without repetition."""
        whole, rest = divmod(self.effective, self.unique)
        rng = random.Random(f"{seed}/{epoch}/mix/{self.name}")
        return list(range(self.unique)) * whole + sorted(rng.sample(range(self.unique), rest))


def shares(
    sizes: Mapping[str, int],
    multipliers: Mapping[str, float] | None = None,
    weights: Mapping[str, float] | None = None,
    temperature: float = 1.0,
    caps: Mapping[str, float] | None = None,
) -> list[Share]:
    """Return how many rows of each source an epoch holds.

    Multipliers scale each source by itself. Weights, or sizes to the power of 1/temperature (Arivazhagan et al. 2019),
    divide an epoch of as many rows as there are in all. Caps are applied last.

    Args:
        sizes: rows of each source.
        multipliers: how often an epoch holds each row; 1 where it is not named.
        weights: share of the epoch, in any unit.
        temperature: 1 leaves sources in proportion to their size, more evens them out.
        caps: most of an epoch that a source may make up, between 0 and 1.

    Raises:
        ConfigError: if settings exclude each other, name no source, or are not possible.
    """
    for key, given in (("multipliers", multipliers), ("weights", weights), ("caps", caps)):
        if unknown := [name for name in given or {} if name not in sizes]:
            raise ConfigError(f"data.init_args.{key}: {unknown[0]!r} is none of the parts {', '.join(sizes)}")
        if wrong := {name: value for name, value in (given or {}).items() if value <= 0}:
            raise ConfigError(f"data.init_args.{key}: {wrong} must be greater than 0; leave a part out instead")
    if sum([bool(multipliers), bool(weights), temperature != 1]) > 1:
        raise ConfigError("data.init_args: multipliers, weights and temperature exclude each other; use one of them")
    if temperature < 1:
        raise ConfigError(f"data.init_args.temperature: {temperature} must be at least 1")
    total = sum(sizes.values())
    if weights:
        if missing := [name for name in sizes if name not in weights]:
            raise ConfigError(f"data.init_args.weights: the part {missing[0]!r} has none; give every part one")
        parts = {name: float(weights[name]) for name in sizes}
    else:
        parts = {name: size ** (1 / temperature) for name, size in sizes.items()}
    scale = total / sum(parts.values())
    effective = {name: part * scale * (multipliers or {}).get(name, 1) for name, part in parts.items()}
    effective = _capped(effective, caps or {})
    return [Share(name, size, max(1, round(effective[name]))) for name, size in sizes.items()]


def _capped(effective: dict[str, float], caps: Mapping[str, float]) -> dict[str, float]:
    """Shrink what is over its cap; the other sources keep their rows."""
    if not caps:
        return effective
    if max(caps.values()) >= 1 or set(caps) == set(effective):
        raise ConfigError(f"data.init_args.caps: {dict(caps)}: a cap is below 1, and one part has to be without")
    over: set[str] = set()
    total = sum(effective.values())
    # What one cap takes away may put another source over its own.
    while more := {name for name, cap in caps.items() if name not in over and effective[name] > cap * total}:
        over |= more
        room = 1 - sum(caps[name] for name in over)
        if room <= 0:
            raise ConfigError(f"data.init_args.caps: {dict(caps)} leave nothing to the other parts")
        total = sum(rows for name, rows in effective.items() if name not in over) / room
    return {name: caps[name] * total if name in over else rows for name, rows in effective.items()}


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
        num_workers: int = 0,
        seed: int | None = None,
    ) -> None:
        super().__init__(
            batch_size=batch_size, pad_to_multiple_of=pad_to_multiple_of, num_workers=num_workers, seed=seed
        )
        if not parts or any("/" in name or "." in name for name in parts):
            raise ConfigError(f"data.init_args.parts: {list(parts)}: name at least one, without '/' and '.'")
        if budgeted := [name for name, part in parts.items() if part.max_batch_tokens is not None]:
            raise ConfigError(
                f"data.init_args.parts.{budgeted[0]}.max_batch_tokens: a mixture draws its rows anew in every epoch, "
                "so the number of batches would not be fixed: leave it out, and set batch_size of the mixture"
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
            part.trainer, part.tokenizer = self.trainer, self.tokenizer
        for name, part in serving.items():
            known = set(part.splits)
            part.setup(stage)
            for split in set(part.splits) - known:
                rows = part.splits[split].rows
                part.splits[split].rows = [
                    replace(row, example=self._named(name, row.example)) if row.example else row for row in rows
                ]

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
        facts = {"template": self.template_fingerprint(), "task": self.task, "rows": rows, "content": content}
        return facts | self.progress.state_dict(self._position()[1])

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
