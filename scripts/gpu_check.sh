#!/usr/bin/env bash
# Tries on a GPU, in a few minutes, what lit_llm does there: the tests that need one, float16 without bfloat16, training
# and generation at real sizes beside plain loops, merging. Writes docs/results/gpu_NAME.json and prints a table.
#   scripts/gpu_check.sh [--wheels FOLDER] [--limit SECONDS] [--output FILE] [--tiny]
# TRL's training stands beside ours where trl is installed, or where TRL_PYTHON names the python of its environment.
# FOLDER holds wheels of packages that this machine lacks and cannot fetch; what is still missing is skipped by name.
# With --tiny, or without a GPU, the shapes are small.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}"

given=()
while [ $# -gt 0 ]; do
    if [ "$1" = --wheels ]; then
        site="$(mktemp -d)"
        trap 'rm -rf "$site"' EXIT
        "$python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps --upgrade --target "$site" "$2"/*.whl
        export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
        shift 2
    else
        given+=("$1")
        shift
    fi
done
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
"$python" scripts/gpu/check.py "${given[@]}"
