"""Gates: whether a run is good enough, fast enough, and has not seen its test."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lit_llm.errors import ConfigError
from lit_llm.metrics.corpus import outcomes
from lit_llm.report.comparison import FEW_ROWS, WIDE, aligned, compare_translations, is_extraction, translations
from lit_llm.report.predictions import read_predictions, rows_with

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lit_llm.batch import Prediction
    from lit_llm.report.runs import Run

LONG = 10
"""A reference of this many words is not hit letter by letter by chance."""

WARM_UPS, TIMES = 3, 20

SIGNIFICANT, SEED = 0.05, 12345
"""Below this a p-value is worth a warning; the seed is that of ``compare``."""


@dataclass(frozen=True)
class Check:
    """One condition of a gate.

    Attributes:
        name: what was looked at.
        value: what was found.
        limit: what it had to be, in words.
        passes: whether it was; None for what is only worth a warning.
    """

    name: str
    value: float
    limit: str
    passes: bool | None


def quality(
    path: str,
    score: str,
    least: float | None,
    baseline: str | None,
    most_drop: float,
    most_flawed: float,
    only: Sequence[str] = (),
    samples: int = 1000,
) -> list[Check]:
    """Check a score against a floor and against a baseline, and how many answers are flawed.

    With fewer than 200 rows, or an interval wider than ±2, what misses its limit by less than half the interval is only
    warned of, because it may be luck; a drop that the paired test finds significant fails all the same.

    Args:
        path: predictions of the system.
        score: one of ``lit_llm.metrics.corpus.SCORES``.
        least: the floor, if there is one; a ceiling of TER, of which less is better.
        baseline: predictions of the same rows, or a JSON file of scores by name.
        most_drop: points that the score may lie below the baseline's.
        most_flawed: share of answers that may be empty, copies of their source, or unstopped.
        only: conditions on rows, such as ``direction=es-nah``.
        samples: bootstrap resamples of the test against baseline predictions.
    """
    if baseline == path:
        raise ConfigError(f"gate quality: {path} is its own baseline; name another file in --baseline")
    file = baseline is not None and baseline.endswith(".json")
    systems = _scored([path] if file or baseline is None else [baseline, path], only)
    *first, found = (scores[score] for scores in compare_translations(systems, [score], samples, SEED).values())
    rows = translations(systems[path])
    # Of TER, less is better.
    sign, word = (-1, "most") if score == "ter" else (1, "least")
    weak = len(rows) < FEW_ROWS or found.half_interval > WIDE
    evidence = f"{len(rows)} rows, ±{found.half_interval:.2f}"
    checks = []
    if least is not None:
        limit = f"at {word} {least:g} ({evidence})"
        miss = sign * (least - found.value)
        checks.append(_judged(score, found.value, limit, miss, found.half_interval if weak else 0.0))
    if baseline is not None:
        drop = sign * ((_stored(baseline, score) if file else first[0].value) - found.value)
        p_value = 1.0 if found.p_value is None else found.p_value
        sure = p_value < SIGNIFICANT
        limit = f"at most {most_drop:g} ({evidence})"
        doubt = found.half_interval if weak and not sure else 0.0
        checks.append(_judged(f"drop of {score}", drop, limit, drop - most_drop, doubt))
        if sure and drop > 0:
            checks.append(Check("p-value of the drop", p_value, f"not below {SIGNIFICANT}", None))
    counts = outcomes(rows)
    for name in ("empty", "copied", "unstopped"):
        share = counts[name] / len(rows)
        checks.append(Check(f"share {name}", share, f"at most {most_flawed:g}", share <= most_flawed))
    return checks


def _judged(name: str, value: float, limit: str, miss: float, doubt: float) -> Check:
    """Return the check of a score that misses its limit by so much, of which so much may be luck."""
    return Check(name, value, limit, passes=True if miss <= 0 else None if miss <= doubt else False)


def _scored(paths: Sequence[str], only: Sequence[str]) -> dict[str, list[Prediction]]:
    """Return the rows of files that have a reference and are asked for."""
    systems = aligned({path: rows_with(read_predictions(path), only, path) for path in paths})
    if is_extraction(next(iter(systems.values()))):
        raise ConfigError(
            f"{paths[0]}: the answers are JSON, and this gate is of translations; of fields, use "
            "gate quality --floor field_f1=0.9"
        )
    return systems


def _stored(path: str, score: str) -> float:
    try:
        return float(json.loads(Path(path).read_text(encoding="utf-8"))[score])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"--baseline: {path} holds no score {score!r} ({error!r})") from error


def leakage(path: str, most: float, only: Sequence[str] = ()) -> list[Check]:
    """Check how many long references were answered letter by letter, which a system that saw them does.

    Args:
        path: predictions of the system.
        most: share of references of at least ten words that may be.
        only: conditions on rows, such as ``direction=es-nah``.
    """
    rows = translations(_scored([path], only)[path])
    long = [row for row in rows if len(row.references[0].split()) >= LONG]
    if not long:
        raise ConfigError(f"{path}: no reference has {LONG} words or more, so leakage cannot be seen in it")
    share = outcomes(long)["exact"] / len(long)
    return [Check(f"exact among {len(long)} long references", share, f"at most {most:g}", share <= most)]


def latency(
    run: Run, text: str, tokens: int, most_p95: float | None, least_rate: float | None
) -> tuple[list[Check], dict[str, Any]]:
    """Time answers of a forced length, one row at a time.

    Args:
        run: a run opened with a trainer, whose device and precision are those of the measurement.
        text: what is asked.
        tokens: generated tokens, no more and no fewer.
        most_p95: seconds that 95 % of the answers may take.
        least_rate: tokens per second of the median answer.

    Returns:
        The checks, and what was measured on which device.
    """
    from lit_llm.generation import Generator, generate_rows

    model, tokenizer = run.model.network, run.model.tokenizer
    prompt = run.data.ask(text)
    generator = Generator(max_new_tokens=tokens, stop="never")
    seconds = []
    for number in range(WARM_UPS + TIMES):
        begin = time.perf_counter()
        with run.model.trainer.precision_plugin.forward_context():
            (answer,) = generate_rows(generator, model, tokenizer, [prompt])
        # The first answers pay for kernels and caches that later ones find made.
        if number >= WARM_UPS:
            seconds.append(time.perf_counter() - begin)
        if answer.new_tokens != tokens:
            raise ConfigError(f"latency: {answer.new_tokens} tokens came where {tokens} were forced")
    p50, p95 = (float(value) for value in np.percentile(seconds, [50, 95]))
    weight = next(iter(run.model.parameters()))
    measured = {
        "p50_s": p50,
        "p95_s": p95,
        "tokens_per_s": tokens / p50,
        "tokens": tokens,
        "prompt_tokens": len(prompt),
        "device": str(weight.device),
        "dtype": str(weight.dtype),
        "precision": str(run.model.trainer.precision),
        "adapter": type(run.model.adapter).__name__,
        "merged": run.model.merge,
    }
    checks = []
    if most_p95 is not None:
        checks.append(Check("p95 in seconds", p95, f"at most {most_p95:g}", p95 <= most_p95))
    if least_rate is not None:
        checks.append(Check("tokens per second", tokens / p50, f"at least {least_rate:g}", tokens / p50 >= least_rate))
    return checks, measured
