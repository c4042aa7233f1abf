"""``python -m lit_llm check``: whether a backbone is supported."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lit_llm.errors import UserError
from lit_llm.paths import base

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PROBE = "¿Cuántas tortas de jamón a 25.50? — 😀"


def main(argv: Sequence[str] | None = None) -> int:
    """Open a backbone, encode, run one forward pass and a short generation, and report.

    Args:
        argv: the options; by default those of the process.

    Returns:
        0 if every check passes, else 1.
    """
    parser = argparse.ArgumentParser(prog="python -m lit_llm check", description=__doc__)
    parser.add_argument("--backbone", type=base, required=True, help="hub id or folder")
    parser.add_argument("--tokenizer", help="hub id or folder, where it is not beside the weights")
    parser.add_argument("--random_init", action="store_true", help="check the architecture without its weights")
    parser.add_argument("--trust_remote_code", action="store_true", help="run code that comes with the model")
    options = vars(parser.parse_args(argv))
    failures = 0
    for name, verdict, fine in checks(**options):
        print(f"{'ok  ' if fine else 'FAIL'}  {name}: {verdict}")
        failures += not fine
    backbone = options["backbone"]
    print(f"{backbone} is supported" if not failures else f"{backbone} is not supported: {failures} checks failed")
    return int(failures > 0)


def checks(backbone: str, **loading: Any) -> list[tuple[str, str, bool]]:
    """Return ``(check, what was found, whether it passes)`` for each check of a backbone.

    Args:
        backbone: hub id or folder.
        **loading: fields of ``lit_llm.models.Loading``.

    Raises:
        ConfigError: if tokenizer or weights cannot be opened.
    """
    import torch

    from lit_llm.models import Loading
    from lit_llm.models.backbone import open_model, open_tokenizer

    settings = Loading(**loading)
    tokenizer = open_tokenizer(backbone, settings)
    model = open_model(backbone, settings, torch.float32).eval()
    parts: list[tuple[str, Callable[[], str]]] = [
        ("tokenizer", lambda: _encode(tokenizer)),
        ("chat template", lambda: _template(tokenizer)),
        ("architecture", lambda: _architecture(model)),
        ("loss", lambda: _loss(model)),
        ("adapter targets", lambda: _targets(model)),
        ("generation", lambda: _generation(model, tokenizer)),
    ]
    return [_tried(name, part) for name, part in parts]


def _tried(name: str, part: Callable[[], str]) -> tuple[str, str, bool]:
    try:
        return name, part(), True
    except (UserError, ValueError, AttributeError, NotImplementedError, RuntimeError) as error:
        return name, str(error).splitlines()[0][:300], False


def _encode(tokenizer: PreTrainedTokenizerBase) -> str:
    import unicodedata

    ids = tokenizer(PROBE, add_special_tokens=False)["input_ids"]
    if not tokenizer.is_fast:
        raise UserError("is not a fast tokenizer; label masking needs its offsets")
    if tokenizer.decode(ids) != unicodedata.normalize("NFC", PROBE):
        raise UserError(f"does not give {PROBE!r} back: {tokenizer.decode(ids)!r}")
    return f"{type(tokenizer).__name__}, {len(tokenizer):,} tokens, gives a probe back from {len(ids)} of them"


def _template(tokenizer: PreTrainedTokenizerBase) -> str:
    from lit_llm.batch import IGNORE
    from lit_llm.data.tokens.prompting import ChatFormat
    from lit_llm.generation import stop_ids

    encoded = ChatFormat(tokenizer).encode(PROBE, '{"a":1}')
    learned = [label for label in encoded.labels if label != IGNORE]
    if learned[-1] not in stop_ids(tokenizer):
        raise UserError(f"an answer ends in {tokenizer.decode(learned[-1:])!r}, which generation does not stop at")
    return f"training and generation prompts agree; learns {tokenizer.decode(learned)!r}"


def _architecture(model: PreTrainedModel) -> str:
    count = sum(weight.numel() for weight in model.parameters())
    return f"{type(model).__name__}, {count:,} parameters, {model.config.num_hidden_layers} layers"


def _loss(model: PreTrainedModel) -> str:
    import torch

    ids = torch.arange(1, 9)[None] % model.config.vocab_size
    with torch.inference_mode():
        ours = model.get_output_embeddings()(model.base_model(input_ids=ids).last_hidden_state)
        theirs = model(input_ids=ids).logits
    difference = float((ours - theirs).abs().max())
    if difference > 1e-4:
        raise UserError(f"the head applied to the last hidden state is not the model's logits ({difference:.1e} apart)")
    return "the head applied to the last hidden state gives the model's logits"


def _targets(model: PreTrainedModel) -> str:
    from torch import nn

    from lit_llm.adapters import LoRA

    names = {name.split(".")[-1] for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    trainable = sum(w.numel() for w in LoRA().wrap(model).parameters() if w.requires_grad)
    return f"the default LoRA learns {trainable:,} weights; linear layers: {', '.join(sorted(names))}"


def _generation(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> str:
    import torch

    from lit_llm.batch import Prompt
    from lit_llm.data.tokens.prompting import ChatFormat
    from lit_llm.generation import Generator

    ids = torch.tensor([ChatFormat(tokenizer).encode(PROBE, None).input_ids])
    prompt = Prompt(input_ids=ids, attention_mask=torch.ones_like(ids))
    answer = Generator(max_new_tokens=8).generate(model, tokenizer, prompt, [{}])[0]
    return f"{answer.new_tokens} tokens: {answer.text!r}"
