#!/usr/bin/env bash
# The main job from end to end: fine-tune, evaluate, predict. Started again, it goes on where it was stopped.
#   RUN=folder scripts/demo.sh [OPTION ...]    options go to every verb
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON="${PYTHON:-.venv/bin/python}"
RUN="${RUN:-checkpoints/extraction_tiny}"

lit_llm() {
    "$PYTHON" -m lit_llm "$1" --config configs/run/extraction_tiny.yaml --trainer.default_root_dir "$RUN" "${@:2}"
}

if [ ! -f "$RUN/.trained" ]; then
    echo "The demo trains, tests and predicts: about ten minutes on two CPU cores, more where they are shared. Ctrl-C stops it; started again, it goes on."
    resume=()
    if [ -f "$RUN/last.ckpt" ]; then
        resume=(--ckpt_path last)
    fi
    lit_llm fit "${resume[@]}" "$@"
    touch "$RUN/.trained"
fi
if [ ! -f "$RUN/.tested" ]; then
    lit_llm test "$@"
    touch "$RUN/.tested"
fi
lit_llm predict "$@"

"$PYTHON" - "$RUN" <<'SCORES'
import sys
from pathlib import Path

from rich.console import Console

from lit_llm.callbacks.result_table import print_result
from lit_llm.results import read_results

tested = [result for result in read_results(Path(sys.argv[1])) if result.verb == "test"]
if tested:
    print_result(Console(), tested[-1], worst_fields=0)
SCORES
echo "predictions: $RUN/predictions.csv"
echo "curves:      .venv/bin/tensorboard --logdir $(dirname "$RUN")"
echo "a page:      .venv/bin/python -m lit_llm report $RUN"
echo "ask it:      .venv/bin/python -m lit_llm ask --run $RUN 'Quiero 2 tortas de jamón a 25 pesos'"
