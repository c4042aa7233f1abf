#!/usr/bin/env bash
# Makes the embedded base again from nothing: text, tokenizer, random weights, seven stages of training (about five
# hours on two cores), then puts the result into checkpoints/qwen3-tiny. Started again, it goes on where it was
# stopped. Options go to every fit: `scripts/tiny_base/make_tiny.sh --trainer.devices 2 --trainer.strategy ddp
# --data.init_args.batch_size 16` takes the same steps on two processes.
set -euo pipefail
cd "$(dirname "$0")/../.."

PYTHON="${PYTHON:-.venv/bin/python}"
WORK=checkpoints/tiny
OPTIONS=("$@")
# Rows have many lengths, and oneDNN keeps a kernel for each shape that it has met.
export ONEDNN_PRIMITIVE_CACHE_CAPACITY="${ONEDNN_PRIMITIVE_CACHE_CAPACITY:-200}"
SENTENCES='{"listing": 0, "key_values": 0.3, "table": 0.12, "sentence": 0.34, "copy": 0.1, "lookup": 0.07, "normal_form": 0.07}'
TABLES='{"listing": 0, "key_values": 0.3, "table": 0.25, "sentence": 0.7, "copy": 0.1, "lookup": 0.07, "normal_form": 0.07}'
LEDGERS='{"listing": 0.52, "sentence": 0.22, "table": 0.07, "key_values": 0.08, "copy": 0.04, "lookup": 0.02, "normal_form": 0.05}'
WORDS='{"listing": 0.64, "sentence": 0.14, "table": 0.05, "key_values": 0.07, "copy": 0.03, "lookup": 0.02, "normal_form": 0.05}'

corpus() { # name, rows, seed, further options
    [ -f "$WORK/$1.jsonl" ] ||
        "$PYTHON" scripts/tiny_base/make_tiny_corpus.py --output "$WORK/$1.jsonl" --rows "$2" --seed "$3" "${@:4}"
}
stage() { # name of the stage and of its text, folder of its base, further options
    local folder="checkpoints/pretrain_tiny_$1" resume=()
    [ ! -f "$folder/last.ckpt" ] || resume=(--ckpt_path last)
    [ -f "$folder/.done" ] || "$PYTHON" -m lit_llm fit --config configs/run/pretrain_tiny.yaml \
        --model.init_args.backbone "$2" --data.init_args.train "$WORK/$1.jsonl" \
        --trainer.default_root_dir "$folder" "${@:3}" "${OPTIONS[@]}" "${resume[@]}"
    touch "$folder/.done"
}

corpus short 38400 7 --longest 48 --mix "$SENTENCES"
corpus warm 40000 8 --mix "$SENTENCES"
corpus long 64000 10 --mix "$SENTENCES"
corpus tables 56000 11 --mix "$TABLES"
corpus ledgers 140000 12 --mix "$LEDGERS"
corpus words 120000 14 --mix "$WORDS"
corpus more 180000 16 --mix "$WORDS"
corpus valid 200 15 --mix "$WORDS"
[ -f "$WORK/start/config.json" ] || "$PYTHON" scripts/tiny_base/make_tiny_base.py --corpus "$WORK/warm.jsonl" --output "$WORK/start"
stage short "$WORK/start" --model.init_args.schedule '{"name": "constant", "warmup": 100}'
stage warm checkpoints/pretrain_tiny_short/model
stage long checkpoints/pretrain_tiny_warm/model
stage tables checkpoints/pretrain_tiny_long/model
stage ledgers checkpoints/pretrain_tiny_tables/model
stage words checkpoints/pretrain_tiny_ledgers/model
stage more checkpoints/pretrain_tiny_words/model
cp checkpoints/pretrain_tiny_more/model/{config.json,generation_config.json,model.safetensors} checkpoints/qwen3-tiny/
cp "$WORK"/start/{tokenizer.json,tokenizer_config.json,chat_template.jinja} checkpoints/qwen3-tiny/
