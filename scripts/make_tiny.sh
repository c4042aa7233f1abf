#!/usr/bin/env bash
# Makes the embedded base again from nothing: text, tokenizer, random weights, four stages of training (about two hours
# on one core), then puts the result into checkpoints/qwen3-tiny. Started again, it goes on where it was stopped.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON="${PYTHON:-.venv/bin/python}"
WORK=checkpoints/tiny

corpus() { [ -f "$WORK/$1.jsonl" ] || "$PYTHON" scripts/make_tiny_corpus.py --output "$WORK/$1.jsonl" "${@:2}"; }
stage() {
    local resume=()
    [ ! -f "checkpoints/$1/last.ckpt" ] || resume=(--ckpt_path last)
    [ -f "checkpoints/$1/.done" ] || "$PYTHON" -m lit_llm fit --config "configs/run/$1.yaml" "${resume[@]}"
    touch "checkpoints/$1/.done"
}

corpus short --rows 38400 --seed 7 --longest 48
corpus warm --rows 40000 --seed 8
corpus long --rows 64000 --seed 10
corpus train --rows 56000 --seed 11 --mix '{"sentence": 0.7, "table": 0.25}'
corpus valid --rows 200 --seed 9
[ -f "$WORK/start/config.json" ] || "$PYTHON" scripts/make_tiny_base.py --corpus "$WORK/warm.jsonl" --output "$WORK/start"
stage pretrain_tiny_short
stage pretrain_tiny_warm
stage pretrain_tiny_long
stage pretrain_tiny
cp checkpoints/pretrain_tiny/model/{config.json,generation_config.json,model.safetensors} checkpoints/qwen3-tiny/
cp "$WORK"/start/{tokenizer.json,tokenizer_config.json,chat_template.jinja} checkpoints/qwen3-tiny/
