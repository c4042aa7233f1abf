#!/usr/bin/env bash
# Does a hybrid Qwen3.5 learn as a Qwen3 of equal size does? Both are pre-trained on the same rows in the same order, by
# the recipe of the embedded base (two of its stages), side by side with a thread each: about an hour. Then both are
# tuned on the demo for equal steps, and their scores are printed. Started again, it goes on where it was stopped.
#   WORK=checkpoints/families scripts/tiny_base/compare_families.sh
# PRECISION is float32, which CPUs without matrix units for bfloat16 are faster in; the recipe says bf16-mixed.
set -euo pipefail
cd "$(dirname "$0")/../.."

PYTHON="${PYTHON:-.venv/bin/python}"
WORK="${WORK:-checkpoints/families}"
PRECISION="${PRECISION:-32-true}"
export OMP_NUM_THREADS=1 ONEDNN_PRIMITIVE_CACHE_CAPACITY="${ONEDNN_PRIMITIVE_CACHE_CAPACITY:-200}"
SENTENCES='{"listing": 0, "key_values": 0.3, "table": 0.12, "sentence": 0.34, "copy": 0.1, "lookup": 0.07, "normal_form": 0.07}'
LEDGERS='{"listing": 0.52, "sentence": 0.22, "table": 0.07, "key_values": 0.08, "copy": 0.04, "lookup": 0.02, "normal_form": 0.05}'

corpus() { # name, rows, seed, further options
    [ -f "$WORK/$1.jsonl" ] || {
        "$PYTHON" scripts/tiny_base/make_tiny_corpus.py --output "$WORK/$1.part" --rows "$2" --seed "$3" "${@:4}"
        mv "$WORK/$1.part" "$WORK/$1.jsonl"
    }
}
run() { # verb, folder, options: nothing where it is done, on from the last checkpoint where it was begun
    local verb="$1" folder="$2" resume=()
    [ ! -f "$folder/.$verb" ] || return 0
    [ "$verb" != fit ] || [ ! -f "$folder/last.ckpt" ] || resume=(--ckpt_path last)
    "$PYTHON" -m lit_llm "$verb" "${@:3}" --trainer.default_root_dir "$folder" "${resume[@]}" >>"$folder.log" 2>&1 ||
        { tail -n 5 "$folder.log" >&2 && exit 1; }
    touch "$folder/.$verb"
}
family() { # of make_tiny_base.py
    local start="$WORK/$1/start" short="$WORK/$1/short" long="$WORK/$1/long" demo="$WORK/$1/demo"
    local pretrain=(--config configs/run/pretrain_tiny.yaml --data.init_args.valid "$WORK/valid.jsonl"
        --trainer.precision "$PRECISION")
    local tune=(--config configs/run/extraction_tiny.yaml --model.init_args.backbone "$long/model"
        --model.init_args.adapter.init_args.target_modules all-linear)
    [ -f "$start/model.safetensors" ] ||
        "$PYTHON" scripts/tiny_base/make_tiny_base.py --corpus "$WORK/long.jsonl" --output "$start" --family "$1"
    run fit "$short" "${pretrain[@]}" --model.init_args.backbone "$start" --data.init_args.train "$WORK/short.jsonl" \
        --model.init_args.schedule '{"name": "constant", "warmup": 100}'
    run fit "$long" "${pretrain[@]}" --model.init_args.backbone "$short/model" --data.init_args.train "$WORK/long.jsonl"
    run fit "$demo" "${tune[@]}"
    run test "$demo" "${tune[@]}"
}

mkdir -p "$WORK"
corpus short "${SHORT:-38400}" 7 --longest 48 --mix "$SENTENCES"
corpus long "${LONG:-30000}" 12 --mix "$LEDGERS"
corpus valid 200 15 --mix "$LEDGERS"
family qwen3 &
plain=$!
family qwen3_5 &
hybrid=$!
trap 'kill "$plain" "$hybrid" 2>/dev/null' TERM
failed=0
wait "$plain" || failed=1
wait "$hybrid" || failed=1
[ "$failed" = 0 ] || exit 1
"$PYTHON" - "$WORK" <<'SCORES'
import sys
from pathlib import Path

from lit_llm.results import read_results

for family in ("qwen3", "qwen3_5"):
    results = read_results(Path(sys.argv[1]) / family / "demo")
    tested = [result for result in results if result.verb == "test"]
    print(family, {name: round(scores["field_f1"], 4) for name, scores in sorted(tested[-1].scores.items())})
SCORES
