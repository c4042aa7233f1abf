"""llama.cpp itself, in this process: what it reads and writes, and how far that is from a model of transformers."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from lit_llm.errors import UserError
from lit_llm.sharing import normalized

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

TEXTS = ('It\'LL cost  1,234.50\n\n ok:\t¿sí o NO? «ñandú» — x_1 = {"a": [0, 25]}', "  Ámbar, 日本 😀\r\nfin ")
"""Texts that both tokenizers have to read alike."""

WRITTEN = 16
"""Tokens that both models write after a prompt."""

LIKELIEST = 20
"""Tokens whose log-probabilities are compared at each place."""


class Comparison(NamedTuple):
    """How far llama.cpp is from a model.

    Attributes:
        tokens: that llama.cpp wrote.
        equal: those among them that the model writes too, at the same place.
        farthest: largest difference of log-probabilities of the likeliest tokens at each place.
        size: of the model's largest logit.
    """

    tokens: int
    equal: int
    farthest: float
    size: float


class Engine:
    """A GGUF file, opened by llama.cpp on the CPU; close it, or use it in a ``with`` statement.

    Args:
        path: the file.
        context: tokens of a prompt and its answer together, at most.
        threads: that compute; more than there are free processors slow it down a lot.
        parallel: answers that are written at a time, which share the context.
        name: what its answers call the model.

    Raises:
        UserError: if llama.cpp cannot open the file.
    """

    def __init__(self, path: Path, context: int, threads: int = 1, parallel: int = 1, name: str = "lit_llm") -> None:
        import xllamacpp

        params: Any = xllamacpp.CommonParams()
        params.model.path, params.n_ctx, params.n_parallel = str(path), context, parallel
        # Keys and values are rounded to 16 bits unless their type is named.
        # So does its fast attention with queries.
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        params.n_gpu_layers, params.fit_params, params.warmup, params.verbosity = 0, False, False, 0
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        # It listens on this machine while it is open.
        self.key = secrets.token_hex()
        params.api_keys, params.model_alias = [self.key], {name}
        try:
            self._server: Any = xllamacpp.Server(params)
        except RuntimeError as error:
            raise UserError(f"llama.cpp does not open {path}: {error}") from error
        # Closed before its loop runs, it would wait for ever; an answer shows that the loop does.
        self.write([0], 1)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def address(self) -> str:
        """Where its server listens, on this machine alone, to who has its ``key``."""
        return str(self._server.listening_address)

    def close(self) -> None:
        """Free the memory."""
        self._server = None

    def tokens(self, text: str) -> list[int]:
        """Return what the file's tokenizer makes of a text, special tokens in it included."""
        found: list[int] = self._ask("tokenize", content=text, add_special=False, parse_special=True)["tokens"]
        return found

    def write(self, prompt: Sequence[int], limit: int) -> list[int]:
        """Return the tokens that it writes after a prompt, greedily, up to ``limit`` or a token that ends an answer."""
        found: list[int] = self._complete(prompt, n_predict=limit)["tokens"]
        return found

    def next(self, prompt: Sequence[int], count: int = LIKELIEST) -> dict[int, float]:
        """Return the likeliest tokens after a prompt, with the natural logarithms of their probabilities.

        None are returned where the first of them ends within a character: llama.cpp says nothing then.
        """
        places = self._complete(prompt, n_predict=1, n_probs=count).get("completion_probabilities") or []
        return {top["id"]: top["logprob"] for place in places for top in place["top_logprobs"]}

    def _complete(self, prompt: Sequence[int], **settings: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._ask(
            "completion", prompt=list(prompt), temperature=0, return_tokens=True, **settings
        )
        return answer

    def _ask(self, what: str, **body: Any) -> Any:
        head = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        request = Request(f"{self.address}/{what}", json.dumps(body).encode(), head)
        try:
            # A proxy of the environment is none for this machine.
            with build_opener(ProxyHandler({})).open(request) as answer:
                return json.load(answer)
        except HTTPError as error:
            raise UserError(f"llama.cpp does not answer: {error.read().decode(errors='replace')[:300]}") from error


def available() -> bool:
    """Whether llama.cpp's binding is installed."""
    return find_spec("xllamacpp") is not None


def compared(
    path: Path, network: nn.Module, tokenizer: PreTrainedTokenizerBase, prompt: Sequence[int]
) -> Comparison | None:
    """Let llama.cpp read texts and write after a prompt, and compare; None where its binding is missing.

    Args:
        path: the file.
        network: a causal LM of transformers with the same numbers.
        tokenizer: its tokenizer.
        prompt: token ids.

    Raises:
        UserError: if llama.cpp reads a text as other tokens.
    """
    if not available():
        return None
    texts = [*(normalized(tokenizer, text) for text in TEXTS), str(tokenizer.decode(list(prompt)))]
    with Engine(path, len(prompt) + WRITTEN) as engine:
        for text in texts:
            wanted = tokenizer(text, add_special_tokens=False)["input_ids"]
            if (found := engine.tokens(text)) != wanted:
                pairs = zip_longest(found, wanted)
                at, (theirs, ours) = next((at, pair) for at, pair in enumerate(pairs) if pair[0] != pair[1])
                raise UserError(
                    f"export: llama.cpp reads {text[:60]!r} as other tokens: token {at + 1} is {theirs}, and the "
                    f"tokenizer's is {ours}: {path} was not written"
                )
        tokens = engine.write(prompt, WRITTEN)
        likeliest = [engine.next([*prompt, *tokens[:at]]) for at in range(len(tokens))]
    return _compare(network, prompt, tokens, likeliest)


def _compare(
    network: nn.Module, prompt: Sequence[int], tokens: Sequence[int], likeliest: Sequence[Mapping[int, float]]
) -> Comparison:
    import torch

    with torch.inference_mode():
        logits = network(input_ids=torch.tensor([[*prompt, *tokens]])).logits[0, len(prompt) - 1 : -1].float()
    equal, farthest = 0, 0.0
    for token, theirs, ours in zip(tokens, likeliest, logits.log_softmax(-1), strict=True):
        # Of two tokens that are as likely, rounding decides.
        equal += bool(ours[token] >= ours.max() - 1e-4)
        farthest = max([farthest, *(abs(float(ours[one]) - value) for one, value in theirs.items())])
    return Comparison(len(tokens), equal, farthest, float(logits.abs().max()))
