"""Gates: whether a run is good enough, fast enough, and has not seen its test."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lit_llm.errors import ConfigError
from lit_llm.metrics.translation import outcomes, score_rows
from lit_llm.report.comparison import aligned, compare_translations, translations
from lit_llm.report.predictions import read_predictions

if TYPE_CHECKING:
    from lit_llm.report.runs import Run

LONG = 10
"""A reference of this many words is not hit letter by letter by chance."""

WARM_UPS, TIMES = 3, 20


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
    samples: int = 1000,
) -> list[Check]:
    """Check a score against a floor and against a baseline, and how many answers are flawed.

    Args:
        path: predictions of the system.
        score: one of ``lit_llm.metrics.translation.SCORES``.
        least: the floor, if there is one.
        baseline: predictions of the same rows, or a JSON file of scores by name.
        most_drop: points that the score may lie below the baseline's.
        most_flawed: share of answers that may be empty, copies of their source, or unstopped.
        samples: bootstrap resamples of the test against baseline predictions.
    """
    rows = translations(next(iter(aligned({path: read_predictions(path)}).values())))
    value = score_rows(rows, [score])[score].value
    checks = []
    if least is not None:
        checks.append(Check(score, value, f"at least {least:g}", value >= least))
    if baseline is not None:
        checks += _against(baseline, path, score, value, most_drop, samples)
    counts = outcomes(rows)
    for name in ("empty", "copied", "unstopped"):
        share = counts[name] / len(rows)
        checks.append(Check(f"share {name}", share, f"at most {most_flawed:g}", share <= most_flawed))
    return checks


def _against(baseline: str, path: str, score: str, value: float, most_drop: float, samples: int) -> list[Check]:
    limit = f"at most {most_drop:g}"
    if baseline.endswith(".json"):
        try:
            before = float(json.loads(Path(baseline).read_text(encoding="utf-8"))[score])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"--baseline: {baseline} holds no score {score!r} ({error!r})") from error
        return [Check(f"drop of {score}", before - value, limit, before - value <= most_drop)]
    systems = aligned({baseline: read_predictions(baseline), path: read_predictions(path)})
    compared = compare_translations(systems, [score], samples, 12345)
    first, second = (found[score] for found in compared.values())
    drop = first.value - second.value
    checks = [Check(f"drop of {score}", drop, limit, drop <= most_drop)]
    if drop > 0 and (second.p_value or 1) < 0.05:
        checks.append(Check("p-value of the drop", second.p_value or 0.0, "not below 0.05", None))
    return checks


def leakage(path: str, most: float) -> list[Check]:
    """Check how many long references were answered letter by letter, which a system that saw them does.

    Args:
        path: predictions of the system.
        most: share of references of at least ten words that may be.
    """
    rows = translations(next(iter(aligned({path: read_predictions(path)}).values())))
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
        run: an opened run.
        text: what is asked.
        tokens: generated tokens, no more and no fewer.
        most_p95: seconds that 95 % of the answers may take.
        least_rate: tokens per second of the median answer.

    Returns:
        The checks, and what was measured on which device.
    """
    from lit_llm.generation import Generator, generate_rows

    model, tokenizer = run.model.network, run.model.tokenizer
    prompt = run.data.format.encode(text, None).input_ids
    generator = Generator(max_new_tokens=tokens, stop="never")
    seconds = []
    for number in range(WARM_UPS + TIMES):
        begin = time.perf_counter()
        (answer,) = generate_rows(generator, model, tokenizer, [prompt])
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
        "adapter": type(run.model.adapter).__name__,
        "merged": run.model.merge,
    }
    checks = []
    if most_p95 is not None:
        checks.append(Check("p95 in seconds", p95, f"at most {most_p95:g}", p95 <= most_p95))
    if least_rate is not None:
        checks.append(Check("tokens per second", tokens / p50, f"at least {least_rate:g}", tokens / p50 >= least_rate))
    return checks, measured
