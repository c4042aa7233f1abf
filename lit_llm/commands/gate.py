"""``python -m lit_llm gate``: conditions that a run has to meet, for people and for a CI."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_llm.errors import ConfigError
from lit_llm.paths import existing
from lit_llm.paths import predictions as answers

if TYPE_CHECKING:
    from lit_llm.report.gates import Check

ASKED = "Nació en la ciudad y de niño vio cómo el río crecía después de la lluvia."


def main(argv: Sequence[str] | None = None) -> int:
    """Look at one gate.

    Args:
        argv: the options; by default those of the process.

    Returns:
        0 if every check passes, else 1.
    """
    options = _options(argv)
    if options["kind"] == "quality":
        options["predictions"] = str(existing(options["predictions"]))

    from lit_llm.report.files import write_report

    kind, report = options.pop("kind"), options.pop("report")
    gates: dict[str, Callable[..., tuple[list[Check], dict[str, Any]]]] = {
        "quality": _quality,
        "leakage": _leakage,
        "latency": _latency,
    }
    checks, measured = gates[kind](**options)
    for check in checks:
        verdict = {True: "ok  ", False: "FAIL", None: "warn"}[check.passes]
        print(f"{verdict}  {check.name}: {check.value:.4g}, {check.limit}")
    for name, value in measured.items():
        print(f"      {name}: {value:.4g}" if isinstance(value, float) else f"      {name}: {value}")
    if report:
        write_report(report, {"checks": [vars(check) for check in checks], **measured})
    return int(any(check.passes is False for check in checks))


def _options(argv: Sequence[str] | None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m lit_llm gate", description="Fail where a run is not good enough.")
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="quality|latency|leakage")
    quality = kinds.add_parser("quality", help="floors for scores, and a drop from a baseline")
    quality.add_argument("predictions", help="predictions.csv, run folder, or a file of its results/")
    quality.add_argument("--score", default="chrf", help="of --least and --baseline: chrf (default), chrfpp, bleu, ter")
    quality.add_argument("--least", type=float, help="the floor, such as 48; a ceiling of TER")
    quality.add_argument(
        "--floor",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a floor for any score of a run's newest test, or of predictions: field_f1=0.9 (in every test file), "
        "known/exact_match=0.8, fields/total=0.95; a ceiling of a loss; may be given several times",
    )
    quality.add_argument("--baseline", help="predictions of the same rows, or a JSON file of scores by name")
    quality.add_argument("--most_drop", type=float, default=5.0, help="points below the baseline (5)")
    quality.add_argument("--most_flawed", type=float, default=0.02, help="share empty, copied or unstopped (0.02)")
    leakage = kinds.add_parser("leakage", help="exact matches of long references")
    leakage.add_argument("predictions", type=answers, help="predictions.csv or run folder")
    leakage.add_argument("--most", type=float, default=0.05, help="share of long references (0.05)")
    latency = kinds.add_parser("latency", help="time of one answer of a forced length")
    latency.add_argument("--run", required=True, help="run folder")
    latency.add_argument("--checkpoint", default="best", help="best, last or none")
    latency.add_argument("--text", default=ASKED, help="what is asked")
    latency.add_argument("--tokens", type=int, default=256, help="generated tokens (256)")
    latency.add_argument("--most_p95", type=float, help="seconds")
    latency.add_argument("--least_rate", type=float, help="tokens per second")
    for kind in (quality, leakage):
        kind.add_argument("--only", action="append", default=[], help="rows with this fact, such as direction=es-nah")
    for kind in (quality, leakage, latency):
        kind.add_argument("--report", type=Path, help="JSON file to write what was found to")
    known, unknown = parser.parse_known_args(argv)
    if unknown:
        # The usage of the kind says more than that of all of them.
        own = {"quality": quality, "leakage": leakage, "latency": latency}[known.kind]
        own.error(
            f"unrecognized arguments: {' '.join(unknown)}{_instead(argv or (), unknown) if own is quality else ''}"
        )
    return vars(known)


def _instead(words: Sequence[str], unknown: Sequence[str]) -> str:
    """Return what is typed in place of options that name a score and its least value."""
    parted = [(*word.partition("="), following) for word, following in zip(words, [*words[1:], ""], strict=True)]
    values = [value if equals else following for word, equals, value, following in parted if _is_option(word, unknown)]
    numbers = [value for value in values if value.replace(".", "", 1).isdecimal()]
    names = [value for value in values if value.isidentifier() or "/" in value[1:]]
    return f"; the least value of a score is --floor {(names or ['field_f1'])[0]}={(numbers or ['0.9'])[0]}"


def _is_option(word: str, unknown: Sequence[str]) -> bool:
    return word.startswith("--") and any(text.partition("=")[0] == word for text in unknown)


def _quality(
    predictions: str, floor: list[str], least: float | None, baseline: str | None, **options: Any
) -> tuple[list[Check], dict[str, Any]]:
    from lit_llm.report.floors import floors
    from lit_llm.report.gates import quality

    if least is None and baseline is None and not floor:
        raise ConfigError("gate quality: nothing to hold a score to: give --floor, --least or --baseline")
    if least is not None or baseline is not None:
        # These look at answers, row by row.
        answers(predictions)
    checks, measured = floors(predictions, floor, options["only"]) if floor else ([], {})
    if least is not None or baseline is not None:
        checks += quality(predictions, least=least, baseline=baseline, **options)
    return checks, measured


def _leakage(predictions: str, **options: Any) -> tuple[list[Check], Any]:
    from lit_llm.report.gates import leakage

    return leakage(predictions, **options), {}


def _latency(run: str, checkpoint: str, **options: Any) -> tuple[list[Check], dict[str, Any]]:
    from lit_llm.report.gates import latency
    from lit_llm.report.runs import open_run, single_trainer

    if options["most_p95"] is None and options["least_rate"] is None:
        raise ConfigError("gate latency: nothing to hold the time to: give --most_p95, --least_rate, or both")
    opened = open_run(run, checkpoint, single_trainer(run))
    opened.model.merge_if_asked()
    return latency(opened, **options)
