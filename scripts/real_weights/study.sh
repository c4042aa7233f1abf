#!/usr/bin/env bash
# What fine-tuning does to a real pretrained model, on a CPU: extraction before and after (Spanish utterances, English
# sentences), its weights in few bits, its answers in llama.cpp, and what it has forgotten. Hours on two cores;
# started again, it goes on where it was stopped, and WORK/*.txt hold what was printed.
#   TRAIN=… VALID=… TEST=… SQUAD=… XQUAD=… ARC=… scripts/real_weights/study.sh
# TRAIN, VALID and TEST are JSONL files of texts and JSON; SQUAD (Parquet), XQUAD and ARC are as english_rows.py and
# probe.py say. GPTQ and AWQ need scripts/make_compressor.sh; without it they are left out.
set -euo pipefail
cd "$(dirname "$0")/../.."

PYTHON="${PYTHON:-.venv/bin/python}"
WORK="${WORK:-checkpoints/real_study}"
BASE="${BASE:-checkpoints/smollm2-135m-instruct}"
STEPS="${STEPS:-200}"
RATE="${RATE:-5.0e-4}"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}" ONEDNN_PRIMITIVE_CACHE_CAPACITY="${ONEDNN_PRIMITIVE_CACHE_CAPACITY:-200}"

stop() { # file: shows what went wrong
    tail -n 5 "$1" >&2
    exit 1
}
measure() { # name, systems: compares them
    [ -f "$WORK/$1.txt" ] || rm -rf "$WORK/$1"
    keep "$1" "$PYTHON" -m lit_llm compare --measure "$WORK/$1" "${@:2}"
}
fit() { # name, language, further options
    local run="$WORK/$1" data="$WORK/$2" resume=()
    [ ! -f "$run/.done" ] || return 0
    [ ! -f "$run/last.ckpt" ] || resume=(--ckpt_path last)
    echo "$(date +%T) fit $1"
    "$PYTHON" -m lit_llm fit --config configs/run/extraction_smollm2.yaml --model.init_args.backbone "$BASE" \
        --data.init_args.train "$data/train.jsonl" --data.init_args.valid "$data/valid.jsonl" \
        --data.init_args.test "{\"test\": \"$data/test.jsonl\"}" --trainer.default_root_dir "$run" \
        --trainer.max_steps "$STEPS" --trainer.val_check_interval "$STEPS" --trainer.check_val_every_n_epoch null \
        --model.init_args.optimizer.init_args.lr "$RATE" \
        --model.init_args.adapter.init_args.dropout 0 --model.init_args.generator.init_args.max_new_tokens 128 \
        "${@:3}" "${resume[@]}" >>"$WORK/$1.log" 2>&1 || stop "$WORK/$1.log"
    touch "$run/.done"
}
store() { # name, options of quantize
    [ ! -d "$WORK/stored/$1" ] || return 0
    echo "$(date +%T) quantize $1"
    "$PYTHON" -m lit_llm quantize --output "$WORK/stored/$1" "${@:2}" >>"$WORK/stored.log" 2>&1 || stop "$WORK/stored.log"
}
keep() { # file, command: prints what a command prints, and keeps it in a file once it has ended well
    if [ ! -f "$WORK/$1.txt" ]; then
        echo "$(date +%T) $1"
        "${@:2}" >"$WORK/$1.part" 2>"$WORK/$1.log" || stop "$WORK/$1.log"
        mv "$WORK/$1.part" "$WORK/$1.txt"
    fi
    cat "$WORK/$1.txt"
}

mkdir -p "$WORK/es" "$WORK/stored"
keep english "$PYTHON" scripts/real_weights/english_rows.py --train "$SQUAD" --test "$XQUAD" --output "$WORK/en"
cp "$TRAIN" "$WORK/es/train.jsonl" && cp "$VALID" "$WORK/es/valid.jsonl"
awk 'NR % 12 == 1' "$TEST" >"$WORK/es/test.jsonl"

fit spanish es
fit english en
measure spanish_scores "$WORK/spanish" "$BASE"
measure english_scores "$WORK/english" "$BASE"
keep forgotten "$PYTHON" scripts/real_weights/probe.py "$BASE" "$WORK/spanish" "$WORK/english" --arc "$ARC" --text "$XQUAD"
keep llama_cpp "$PYTHON" scripts/tables/gguf_table.py --plain "$WORK/spanish" --rows 40

# Rows of 576 and 1,536 inputs: 192 is the smallest divisor of both above 128. Q4_1's own groups of 32 are left alone:
# these weights lie on its grid already.
systems=()
for form in "4 0" "4 192" "3 192"; do
    read -r bits group <<<"$form"
    rounding="{\"class_path\": \"lit_llm.quantization.QAT\", \"init_args\": {\"bits\": $bits, \"group_size\": ${group/#0/null}}}"
    fit "qat-$bits-$group" es --model.init_args.qat "$rounding"
    methods=(rtn hqq)
    [ ! -d .venv-compressor ] || methods+=(gptq awq)
    for method in "${methods[@]}"; do
        store "$method-$bits-$group" --run "$WORK/spanish" --method "$method" --bits "$bits" --group_size "$group"
        systems+=("$WORK/stored/$method-$bits-$group")
    done
    store "qat-$bits-$group" --run "$WORK/qat-$bits-$group"
    systems+=("$WORK/stored/qat-$bits-$group")
done
store nf4 --run "$WORK/spanish" --method nf4
measure few_bits "$WORK/spanish" "$WORK/stored/nf4" "${systems[@]}"
