"""All checks of a base, in the order of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import lit_llm.conformance.adapting as adapting
import lit_llm.conformance.answering as answering
import lit_llm.conformance.passes as passes
import lit_llm.conformance.resuming as resuming
import lit_llm.conformance.storing as storing
from lit_llm.conformance.bench import Bench
from lit_llm.conformance.findings import Finding, tried
from lit_llm.data.tokens.conformance import findings as template_findings
from lit_llm.models import Loading

Check = Callable[[Bench], str]

QUICK: dict[str, Check] = {
    "loss": passes.loss,
    "layers": passes.layers,
    "batches": answering.batches,
    "sampled batches": answering.sampled_batches,
}
"""What needs no training; a base that is refused there cannot be used."""

THOROUGH: dict[str, Check] = {
    "gradients": passes.gradients,
    **{name: partial(adapting.learned, name=name) for name in adapting.ADAPTERS},
    **{name: partial(storing.quantized, name=name) for name in storing.QUANTIZERS},
    "QAT": storing.qat,
    "resume": resuming.resume,
    "GGUF": storing.gguf,
}


def conformance(backbone: str, loading: Loading, *, full: bool = False) -> Iterator[Finding]:
    """Yield what is found of a base, check after check.

    Args:
        backbone: hub id or folder.
        loading: how it is opened.
        full: train, save, merge, quantize, resume and export too, a large base as a smaller copy of its architecture.

    Raises:
        ConfigError: if tokenizer or weights cannot be opened.
    """
    with Bench(backbone, loading) as bench:
        yield tried("tokenizer", lambda: passes.tokens(bench), needed=True)
        template = [
            Finding(name, "ok" if fine else "FAILS", text) for name, text, fine in template_findings(bench.tokenizer)
        ]
        yield from template
        yield Finding("architecture", "ok", bench.size.text)
        if any(finding.state == "FAILS" for finding in template):
            return
        quick = [tried(name, partial(check, bench), needed=True) for name, check in QUICK.items()]
        yield from quick
        if quick[0].state == "FAILS":
            return
        if not full:
            for name in adapting.ADAPTERS:
                yield tried(name, partial(adapting.reached, bench, name))
            return
        yield tried("training on", lambda: _copy(bench), needed=True)
        for name, check in THOROUGH.items():
            yield tried(name, partial(check, bench), needed=name == "gradients")


def _copy(bench: Bench) -> str:
    small = bench.small
    return f"a smaller copy with random weights: {small.text}" if small else "the base itself"
