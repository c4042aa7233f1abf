"""The range of each number in a run file, looked at before anything heavy is imported."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lit_llm.arguments.inputs import Leaf
from lit_llm.errors import ConfigError

_HOLDS = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt}
_WORDS = {">=": "at least", ">": "above", "<=": "at most", "<": "below"}


@dataclass(frozen=True)
class Range:
    """Numbers that a setting may be.

    Attributes:
        bounds: comparisons that must all hold.
        share: whether a number above 1 counts something and must be whole, since up to 1 it is a share.
    """

    bounds: tuple[tuple[str, float], ...]
    share: bool = False

    @classmethod
    def of(cls, text: str) -> Range:
        """Return the range that is written as in ``>= 0 < 1``, with ``share`` before it where it is one."""
        words = text.removeprefix("share").split()
        pairs = zip(words[::2], words[1::2], strict=True)
        return cls(tuple((sign, float(bound)) for sign, bound in pairs), text.startswith("share"))

    def holds(self, number: float) -> bool:
        """Whether a number lies in the range."""
        whole = not self.share or number <= 1 or number == int(number)
        return math.isfinite(number) and whole and all(_HOLDS[sign](number, bound) for sign, bound in self.bounds)

    def __str__(self) -> str:
        said = " and ".join(f"{_WORDS[sign]} {bound:g}" for sign, bound in self.bounds)
        return f"{said}: a share up to 1, a whole number above it" if self.share else said or "finite"


def _table(rows: Mapping[str, str]) -> dict[str, Range]:
    return {name: Range.of(text) for text, names in rows.items() for name in names.split()}


OURS = _table(
    {
        ">= 1": "batch_size eval_batch_size max_length augmentation_factor pad_to_multiple_of max_batch_tokens "
        "max_line_bytes max_frames downsample r initial_r rank_pattern interval eva_batches eva_rho max_new_tokens "
        "num_beams generate_every hidden strides longest ratio most_tokens frames group_size MixedData.temperature "
        "tokens ngram positions rate passage_tokens reads candidates recall_at Shots.n",
        ">= 0": "num_workers seed projection_seed top_k no_repeat_ngram_size count most samples worst_fields "
        "most_characters every_n_steps ratio_from seconds number_tolerance threshold orthogonality warmup start freeze "
        "k1 rotation noise shift patience overlap gap_weight key_weight value_weight",
        "> 0": "alpha alpha_pattern plus_ratio d_initial adaptor_learning_rate per_source temperature "
        "repetition_penalty multipliers weights TemporalAdaptor.scale",
        ">= 0 < 1": "dropout adaptor_dropout label_smoothing initial_share final_share speed drop scale mask",
        ">= 0 <= 1": "final settled least_match probability probabilities gradient_checkpointing b",
        "> 0 <= 1": "most_distance decay top_p caps Lookup.share",
        ">= 0.6 <= 1": "near",
        "": "length_penalty",
    }
)
"""Ranges of this project's settings by name; with the class before it where the name means something else there."""

TORCH = _table({">= 0": "lr weight_decay eps momentum lr_decay lambd", ">= 0 < 1": "betas"})
"""Those of PyTorch's optimizers."""

TRAINER = _table(
    {
        ">= 1": "accumulate_grad_batches check_val_every_n_epoch num_nodes",
        ">= 0": "min_epochs min_steps gradient_clip_val log_every_n_steps reload_dataloaders_every_n_epochs",
        ">= -1": "max_epochs max_steps num_sanity_val_steps devices",
        "share > 0": "val_check_interval",
        "share >= 0": "limit_train_batches limit_val_batches limit_test_batches limit_predict_batches overfit_batches",
    }
)

SEED = Range.of(">= 0 < 4294967296")
"""Of everything random: what NumPy takes."""


def check(tree: Mapping[str, Any]) -> None:
    """Refuse numbers that their settings cannot be.

    Texts that are no numbers are left to the parser, and settings of other people's classes to these.

    Args:
        tree: what run files and options say, as ``inputs.settings`` returns it.

    Raises:
        ConfigError: naming key, place, value and range of the first.
    """
    found = [("seed_everything", tree["seed_everything"], SEED)] if "seed_everything" in tree else []
    trainer = tree.get("trainer")
    parts = [(part, tree.get(part), OURS) for part in ("model", "data")]
    for key, leaf, wanted in [*found, *_numbers("trainer", trainer, TRAINER), *_of_parts(parts)]:
        number = _number(leaf)
        if number is not None and not wanted.holds(number):
            raise ConfigError(f"{key} ({leaf.place}): must be {wanted}, got {leaf.value}")


def _of_parts(parts: list[tuple[str, Any, dict[str, Range]]]) -> Iterator[tuple[str, Any, Range]]:
    for part, node, table in parts:
        yield from _numbers(part, node, table)


def _numbers(prefix: str, node: Any, table: dict[str, Range]) -> Iterator[tuple[str, Any, Range]]:
    """Yield key, value and range of all settings under a node that have one."""
    if isinstance(node, list):
        for item in node:
            yield from _numbers(prefix, item, table)
    if not isinstance(node, dict):
        return
    path = str(getattr(node.get("class_path"), "value", None) or "")
    if "." in path and not path.startswith(("lit_llm.", "lightning.", "torch.optim.")):
        return
    for key, value in node.items():
        wanted = table.get(f"{path.rpartition('.')[2]}.{key}") or table.get(key)
        if wanted and not (isinstance(value, dict) and "class_path" in value):
            yield from ((f"{prefix}.{key}{name}", leaf, wanted) for name, leaf in _leaves(value))
        else:
            # What stands within the trainer, such as callbacks, has settings of its own.
            yield from _numbers(f"{prefix}.{key}", value, TORCH if key == "optimizer" else OURS)


def _leaves(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from ((f".{name}", leaf) for name, leaf in value.items())
    elif isinstance(value, list):
        yield from (("", leaf) for leaf in value)
    else:
        yield "", value


def _number(leaf: Any) -> float | None:
    if not isinstance(leaf, Leaf) or leaf.value is None:
        return None
    try:
        return float(leaf.value.replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:
        return None
