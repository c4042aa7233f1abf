"""A training step with tensors that have shapes and no numbers: what it holds in memory at each moment.

Every storage that an operation makes is counted until nothing refers to it any more. Operators of a CPU stand for those
of a GPU: their outputs, and what they keep for the backward pass, have the same sizes.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import lit_llm.adapters.fused as fused
from lit_llm.models.head import AfterHead
from lit_llm.models.layers import Checkpointing, checkpoint_layers
from lit_llm.models.loss import chunked_cross_entropy


@dataclass(frozen=True)
class Step:
    """What is to be traced.

    Attributes:
        config: of the base.
        adapter: which weights learn.
        optimizer: makes the optimizer of parameters; None for one whose state is known and that cannot be traced.
        dtype: of the weights.
        autocast: what products are computed in; None for the dtype of the weights.
        checkpointing: which activations are computed again in the backward pass.
        batch: rows of a micro-batch.
        length: tokens of each row.
        accumulates: whether gradients of a micro-batch are there when the next is computed.
        clips: whether gradients are clipped.
        attention: ``sdpa`` or ``eager``.
        skipped: parts of names of linear layers that a quantizer leaves as they are.
    """

    config: Any
    adapter: Any
    optimizer: Any
    dtype: torch.dtype
    autocast: torch.dtype | None
    checkpointing: Checkpointing
    batch: int
    length: int
    accumulates: bool
    clips: bool
    attention: str = "sdpa"
    skipped: tuple[str, ...] = ()


class _Bytes:
    """Bytes of a network with a number of layers."""

    def beyond(self, other: Self, steps: float) -> Self:
        """Return what so many times the difference to a smaller network adds."""
        pairs = [(getattr(self, field.name), getattr(other, field.name)) for field in fields(self)]  # type: ignore[arg-type]
        return type(self)(*(mine + steps * (mine - theirs) for mine, theirs in pairs))


@dataclass(frozen=True)
class Weights(_Bytes):
    """What lies there before anything is computed.

    Attributes:
        frozen: weights that do not learn, and buffers.
        linear: of these, weights of linear layers that a quantizer would store in fewer bits.
        learned: weights that learn.
        count: how many these are.
    """

    frozen: float
    linear: float
    learned: float
    count: float


@dataclass(frozen=True)
class Traced(_Bytes):
    """What an optimizer step holds, besides weights.

    Attributes:
        gradients: of what learns.
        optimizer: its state.
        activations: what the forward pass has kept before the loss is computed, and gradients that were there.
        loss: the most while the loss is computed.
        backward: the most in the backward pass.
        update: the most while the optimizer steps.
    """

    gradients: float
    optimizer: float
    activations: float
    loss: float
    backward: float
    update: float


class Ledger(TorchDispatchMode):
    """Counts the bytes of all storages that are alive."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.most = 0
        self._sizes: dict[int, int] = {}

    def add(self, tensor: Tensor) -> None:
        """Count a tensor's storage, once, until it is gone."""
        storage = tensor.untyped_storage()
        key = id(storage)
        if key not in self._sizes:
            self._sizes[key] = storage.nbytes()
            self.now += self._sizes[key]
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self._drop, key)

    def since(self) -> float:
        """Return the most since the call before, and begin anew."""
        most, self.most = self.most, self.now
        return most

    def _drop(self, key: int) -> None:
        self.now -= self._sizes.pop(key)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(found):
            if isinstance(leaf, Tensor):
                self.add(leaf)
        return found


def weigh(step: Step, layers: int) -> Weights:
    """Return the weights of a network with so many layers."""
    skipped = step.skipped
    network, model = make_network(step, layers)
    tensors = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    learning = [tensor for tensor in tensors.values() if tensor.requires_grad]
    learned, count = sum(tensor.nbytes for tensor in learning), sum(tensor.numel() for tensor in learning)
    head = getattr(model.get_output_embeddings(), "weight", None)
    linear = sum(
        module.weight.nbytes
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and not module.weight.requires_grad and module.weight is not head
        if not any(skip in name for skip in skipped)
    )
    return Weights(sum(tensor.nbytes for tensor in tensors.values()) - learned, linear, learned, count)


def trace(step: Step, layers: int) -> Traced:
    """Return what an optimizer step holds with a network of so many layers."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    network, model = make_network(step, layers)
    mode = FakeTensorMode()
    _without_numbers(network, mode)
    with mode:
        return held(step, network, model)


def held(step: Step, network: nn.Module, model: Any) -> Traced:
    """Take two optimizer steps, and return what the second holds.

    Args:
        step: how.
        network: with its adapter, in training mode.
        model: the causal LM in it.
    """
    after = AfterHead(cap=getattr(step.config.get_text_config(), "final_logit_softcapping", None))
    learned = [p for p in network.parameters() if p.requires_grad]
    with Ledger() as ledger, _as_on_a_gpu():
        for tensor in (*network.parameters(), *network.buffers()):
            ledger.add(tensor)
        weights = ledger.now
        optimizer = _optimizer(step, learned)
        # The state comes with the first step, and the second has it.
        for _ in range(2):
            state = ledger.now - weights
            for _ in range(1 + step.accumulates):
                ledger.since()
                activations, loss = (amount - weights for amount in _backward(step, model, after, ledger))
                backward = ledger.since() - weights
            gradients = sum(p.grad.nbytes for p in learned if p.grad is not None)
            if step.clips:
                nn.utils.clip_grad_norm_(learned, 1.0)
            optimizer.step()
            update = ledger.since() - weights
            optimizer.zero_grad()
    return Traced(gradients, state, activations, loss, backward, update)


def make_network(step: Step, layers: int, device: str = "meta") -> tuple[Any, Any]:
    """Return a network in training mode, and the causal LM in it, with random weights or none."""
    from transformers import AutoModelForCausalLM

    config = copy.deepcopy(step.config)
    text = config.get_text_config()
    kinds = getattr(text, "layer_types", None)
    text.num_hidden_layers = layers
    if kinds:
        text.layer_types = [kinds[at % len(kinds)] for at in range(layers)]
    adapter = copy.deepcopy(step.adapter)
    if hasattr(adapter, "init"):
        adapter.init = "default"  # others look at weights, and leave the same shapes behind
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=step.dtype, attn_implementation=step.attention)
        checkpoint_layers(model, step.checkpointing)
        network = adapter.wrap(model)
    return network.train(), model


def _without_numbers(network: nn.Module, mode: Any) -> None:
    """Replace all parameters and buffers by ones on a CPU that hold nothing; shared ones stay shared."""
    made: dict[int, Tensor] = {}

    def fake(tensor: Tensor) -> Tensor:
        if id(tensor) not in made:
            with mode:
                empty = torch.empty(tensor.shape, dtype=tensor.dtype)
            made[id(tensor)] = (
                nn.Parameter(empty, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
            )
        return made[id(tensor)]

    for module in network.modules():
        every: tuple[Any, Any] = module._parameters, module._buffers
        for kept in every:
            kept.update({name: fake(tensor) for name, tensor in kept.items() if tensor is not None})


def _backward(step: Step, model: Any, after: Any, ledger: Ledger) -> tuple[float, float]:
    """Compute the loss of a batch that learns from every token, and its gradients; return what was held on the way."""
    ids = torch.zeros(step.batch, step.length, dtype=torch.long)
    with torch.autocast("cpu", step.autocast, enabled=step.autocast is not None):
        hidden = model.base_model(input_ids=ids, attention_mask=None, use_cache=False).last_hidden_state
        states = hidden[:, :-1].reshape(-1, hidden.shape[-1])
        before = float(ledger.now)
        ledger.since()
        loss = chunked_cross_entropy(states, ids[:, 1:].reshape(-1), model.get_output_embeddings(), after=after)
    most = ledger.since()
    del hidden, states
    loss.backward()
    return before, most


def _optimizer(step: Step, learned: list[Any]) -> Any:
    if step.optimizer is None:
        return torch.optim.SGD(learned, lr=1e-4)
    optimizer = step.optimizer(learned)
    for group in optimizer.param_groups:
        # What torch chooses on a GPU: all parameters at once, with what that holds besides.
        if group.get("foreach", False) is None and not group.get("fused"):
            group["foreach"] = True
    return optimizer


@contextmanager
def _as_on_a_gpu() -> Iterator[None]:
    """Let transformers choose masks and kernels as for real tensors, and dropout draw with torch."""
    from transformers import masking_utils

    def drawn(x: Tensor, p: float) -> Tensor:
        """Return what dropout keeps; its numbers need not be there."""
        return torch.rand_like(x, dtype=torch.float32) >= p

    def no(*_: Any) -> bool:
        """Return that nothing is traced."""
        return False

    changes: list[tuple[Any, str, Any]] = [
        (masking_utils, "is_tracing", no),
        (masking_utils, "find_packed_sequence_indices", lambda _: None),
        (fused, "_kept", drawn),
    ]
    own = [(module, name, getattr(module, name)) for module, name, _ in changes]
    try:
        for module, name, other in changes:
            setattr(module, name, other)
        yield
    finally:
        for module, name, other in own:
            setattr(module, name, other)
