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

echo "predictions: $RUN/predictions.csv"
echo "curves:      .venv/bin/tensorboard --logdir $(dirname "$RUN")"
