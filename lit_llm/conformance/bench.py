"""The base that is tried, opened as a run opens it, with a few rows to try it on."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
import torch.nn.functional as F

from lit_llm.batch import IGNORE, Batch, Prompt
from lit_llm.data.batches.collating import collate
from lit_llm.data.tokens.dataset import Example, Row
from lit_llm.data.tokens.prompting import ChatFormat, Encoded
from lit_llm.errors import UserError
from lit_llm.models import CausalLM, Loading
from lit_llm.models.backbone import open_model, open_tokenizer
from lit_llm.models.head import after_head

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LARGE = 400_000_000
"""Weights from which on training is tried on a smaller copy."""

LAYERS, EXPERTS, CHOSEN, WIDTH = 4, 8, 2, 256
"""Most layers, experts, experts for a token, and inner neurons of the smaller copy."""

ROWS = (
    ("Quiero 2 tortas.", '{"n":2}'),
    ("¿Cuántas tortas de jamón a 25.50 y cuántas aguas frescas de tamarindo son en total?", '{"a":25.5,"b":null}'),
    ("Dame tres panes", '{"pan":"tres","otro":["a","b","c"]}'),
    ("Nada más eso por hoy, gracias, y la cuenta — 😀", '{"x":1}'),
)
"""Texts and answers of unlike length."""


class Size(NamedTuple):
    """How large a model is.

    Attributes:
        weights: their number.
        text: in words.
    """

    weights: int
    text: str


class Bench:
    """A base and a few rows.

    Args:
        backbone: hub id or folder.
        loading: how it is opened.

    Raises:
        ConfigError: if tokenizer or weights cannot be opened.
    """

    def __init__(self, backbone: str, loading: Loading) -> None:
        self.backbone, self.loading = backbone, loading
        self.tokenizer = open_tokenizer(backbone, loading)
        self.model = open_model(backbone, loading, torch.float32)
        self.model.eval()
        self._place = tempfile.TemporaryDirectory(prefix="lit_llm_check_")

    def close(self) -> None:
        """Remove what was written."""
        self._place.cleanup()

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def place(self) -> Path:
        """A folder for files, which is removed in the end."""
        return Path(self._place.name)

    @cached_property
    def rows(self) -> list[Encoded]:
        """The rows as the base's own template writes them."""
        form = ChatFormat(self.tokenizer)
        return [form.encode(text, answer) for text, answer in ROWS]

    @cached_property
    def size(self) -> Size:
        """How large the base is."""
        return _size(self.model)

    @cached_property
    def small(self) -> Size | None:
        """How large the copy is that training is tried on; None where it is the base itself."""
        return None if self._trained is self.model else _size(self._trained)

    @cached_property
    def folder(self) -> Path:
        """A folder with the base, or with random weights in its architecture where it is too large to be trained."""
        folder = self.place / "base"
        self._trained.save_pretrained(folder, safe_serialization=True)
        self.tokenizer.save_pretrained(folder)
        return folder

    @cached_property
    def _trained(self) -> PreTrainedModel:
        return self._smaller() if self.size.weights > LARGE else self.model

    def _smaller(self) -> PreTrainedModel:
        try:
            return _smaller(self.model, self.loading)
        except Exception as error:  # other people's configurations may raise anything
            raise UserError(
                f"the base is too large to be trained here, and its architecture cannot be made smaller ({error})"
            ) from error

    def plain(self) -> PreTrainedModel:
        """Open the folder anew."""
        model = open_model(str(self.folder), self._loading, torch.float32)
        model.eval()
        return model

    def opened(self) -> CausalLM:
        """Return the base as it was opened, without an adapter."""
        module = CausalLM(backbone=self.backbone, loading=self.loading)
        module.network, module.after_head = self.model, after_head(self.model)
        return module

    def module(self, **settings: Any) -> CausalLM:
        """Return a new module on the folder, such as a run makes, in eval mode."""
        module = self.trainable(**settings)
        module.configure_model()
        return module.eval()

    def trainable(self, **settings: Any) -> CausalLM:
        """Return the same before its network is built."""
        return CausalLM(backbone=str(self.folder), loading=self._loading, **settings)

    @property
    def _loading(self) -> Loading:
        return Loading(
            attn_implementation=self.loading.attn_implementation, trust_remote_code=self.loading.trust_remote_code
        )

    def batch(self, places: Sequence[int], padding: int = 0) -> Batch:
        """Return rows as a training batch, padded on the right, by ``padding`` tokens more than is needed."""
        batch = self._joined(places)
        filled = {"input_ids": 0, "attention_mask": 0, "labels": IGNORE}
        wider: dict[str, Any] = {
            name: F.pad(getattr(batch, name), (0, padding), value=value) for name, value in filled.items()
        }
        return replace(batch, **wider)

    def prompt(self, places: Sequence[int]) -> Prompt:
        """Return the prompts of rows, padded on the left."""
        return cast(Prompt, self._joined(places, generate=True).prompt)

    def _joined(self, places: Sequence[int], *, generate: bool = False) -> Batch:
        rows = [Row(Example(str(at), *ROWS[at], None, str(at)), self.rows[at]) for at in places]
        return collate(rows, "train", "check", 0, generate=generate)

    def probe(self) -> torch.Tensor:
        """Return the ids ``[1, T]`` of the longest row."""
        return torch.tensor([max((row.input_ids for row in self.rows), key=len)])


def logits(network: Any, ids: torch.Tensor) -> torch.Tensor:
    """Return the logits ``[1, T, V]`` of a row, in float32."""
    with torch.inference_mode():
        found: torch.Tensor = network(input_ids=ids.to(next(network.parameters()).device)).logits
    return found.float().cpu()


def apart(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Return the largest difference, relative to the largest value."""
    return float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-30))


def _size(model: PreTrainedModel) -> Size:
    weights = sum(weight.numel() for weight in model.parameters())
    config = model.config.get_text_config()
    layers = getattr(config, "num_hidden_layers", "?")
    return Size(weights, f"{type(model).__name__}, {weights:,} weights, {layers} layers")


def _smaller(model: PreTrainedModel, loading: Loading) -> PreTrainedModel:
    """Return a model of the same architecture with fewer and narrower layers, and random weights."""
    from transformers import AutoModelForCausalLM

    config = copy.deepcopy(model.config.get_text_config())
    heads, shared = config.num_attention_heads, getattr(config, "num_key_value_heads", None)
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    kept = 2 if not shared or shared == heads else heads // shared
    changes = {
        "num_hidden_layers": LAYERS,
        "num_attention_heads": kept,
        "num_key_value_heads": kept if not shared or shared == heads else 1,
        "hidden_size": width * kept,
        "layer_types": (getattr(config, "layer_types", None) or [])[:LAYERS] or None,
        **{f"{part}intermediate_size": WIDTH for part in ("", "moe_", "shared_expert_")},
        "num_experts": EXPERTS,
        "num_local_experts": EXPERTS,
        "num_experts_per_tok": CHOSEN,
    }
    for key, value in changes.items():
        if own := getattr(config, key, None):
            setattr(config, key, min(own, value) if isinstance(own, int) else value)
    settings = {"attn_implementation": loading.attn_implementation, "trust_remote_code": loading.trust_remote_code}
    small: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32, **settings)
    small.eval()
    return small
