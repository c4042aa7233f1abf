"""What a model does to the logits of its output head, measured once, so that the loss is the model's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from lit_llm.errors import ConfigError
from lit_llm.wording import first_line

if TYPE_CHECKING:
    from transformers import PreTrainedModel

HUGE, SMALL = 1e9, 2.0**-8
"""Logits that show a soft cap, and logits that are too small to be changed by one."""


class AfterHead(NamedTuple):
    """Logits as a function of what the head gives: ``scale · x``, or ``cap · tanh(scale · x / cap)``.

    Granite divides its logits, Cohere multiplies them, Gemma 2 caps them.

    Attributes:
        scale: factor on the head's output.
        cap: bound that logits approach; None where there is none.
    """

    scale: float = 1.0
    cap: float | None = None

    def __call__(self, logits: Tensor) -> Tensor:
        """Return the model's logits from those of its head, of any shape."""
        scaled = logits if self.scale == 1.0 else logits * self.scale
        return scaled if self.cap is None else self.cap * torch.tanh(scaled / self.cap)

    def __str__(self) -> str:
        """Say it as a line of ``check``."""
        scaled = "" if self.scale == 1.0 else f", times {self.scale:g}"
        return f"the head's logits{scaled}" + ("" if self.cap is None else f", bent to stay within ±{self.cap:g}")


class _Given(dict[str, Any]):
    """A decoder's answer that holds last hidden states and nothing else."""

    def __getattr__(self, name: str) -> Any:
        return self.get(name)

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__("last_hidden_state") if key == 0 else super().__getitem__(key)


def after_head(model: PreTrainedModel) -> AfterHead:
    """Return what a causal LM does between its decoder's last hidden states and its logits, besides the head.

    Decoder and head are replaced for one call, so this costs nothing whatever the model's size, and its weights need
    not be there yet.

    Raises:
        ConfigError: the head is not given the last hidden states as they are, or logits are changed in another way.
    """
    size = model.config.get_text_config().hidden_size
    states = torch.linspace(-1, 1, size, device=model.device)[None, None]
    some = [sign * size for size in (0.5, 3.0, 20.0, 60.0, 400.0) for sign in (1, -1)]
    sizes = torch.tensor([HUGE, SMALL, -SMALL, 0.0, *some], dtype=torch.float64)
    # Twice, in two orders: what is done to a logit must not depend on its token.
    logits = torch.cat([sizes, sizes.flip(0)]).to(model.device)[None, None]
    seen: list[Tensor] = []
    kind = type(model).__name__
    with _replaced(model, states, logits, seen), torch.no_grad():
        try:
            found = model(input_ids=torch.zeros(1, 1, dtype=torch.long, device=model.device), use_cache=False).logits
        except (RuntimeError, ValueError, TypeError, AttributeError, LookupError) as error:
            raise _refused(kind, f"its forward pass cannot be followed ({first_line(error)})") from error
    if len(seen) != 1 or not torch.equal(seen[0].float(), states.to(seen[0].dtype).float()):
        raise _refused(kind, "its head is not given the decoder's last hidden states as they are")
    given, got = logits.flatten().double(), found.double()
    if got.shape != logits.shape:
        raise _refused(kind, f"it turns {logits.shape[-1]} logits of its head into {tuple(got.shape)}")
    return _fitted(kind, given, got.flatten())


def _fitted(kind: str, given: Tensor, got: Tensor) -> AfterHead:
    """Return the function of ``AfterHead`` that gives ``got`` for ``given``."""
    scale, largest = float(got[1] / given[1]), float(got[0])
    if scale <= 0:
        raise _refused(kind, f"it multiplies the logits of its head by {scale:g}")
    found = AfterHead(scale, None if largest > HUGE * scale / 2 else largest)
    if not torch.allclose(found(given), got, rtol=1e-5, atol=1e-6):
        raise _refused(kind, "it changes the logits of its head by more than a factor and a soft cap")
    return found


def _refused(kind: str, reason: str) -> ConfigError:
    return ConfigError(
        f"model.init_args.backbone: {kind} computes its loss otherwise than is done here: {reason}; choose another "
        "base (docs/models.md lists those that are tried)"
    )


@contextmanager
def _replaced(model: PreTrainedModel, states: Tensor, logits: Tensor, seen: list[Tensor]) -> Iterator[None]:
    """Let decoder and head answer with ``states`` and ``logits``; note what the head is given."""
    head: Any = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    decoder: nn.Module = model.base_model
    if head is None or decoder is model:
        raise _refused(type(model).__name__, "it has no decoder and output head of its own")

    def answer(given: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        seen.append(given)
        return logits

    # Some models call the part inside of it that has the layers.
    decoders = {decoder, model.get_decoder()} - {model, None}
    before = {module: vars(module).get("forward") for module in (*decoders, head)}
    for module in decoders:
        module.forward = lambda *args, **kwargs: _Given(last_hidden_state=states)
    head.forward = answer
    try:
        yield
    finally:
        for module, own in before.items():
            vars(module).pop("forward", None)
            if own is not None:
                module.forward = own
