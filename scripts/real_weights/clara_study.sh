#!/usr/bin/env bash
# What vectors of passages do for a real pretrained model, on a CPU: questions that people asked are answered from
# nothing, from the text of passages, and from vectors at two rates; passages are given, or found by BM25, by a sentence
# encoder, or by their vectors. Hours on two cores; started again, it goes on where it was stopped.
#   PUBLISHED=… SQUAD=… XQUAD=… ENCODER=… scripts/real_weights/clara_study.sh
# The first three are the files of passage_rows.py; ENCODER is a folder of sentence-transformers.
# Each system learns FIRST steps of pre-training and SECOND + THIRD of questions, of eight rows, in this order.
set -euo pipefail
cd "$(dirname "$0")/../.."

PYTHON="${PYTHON:-.venv/bin/python}"
WORK="${WORK:-checkpoints/clara_study}"
BASE="${BASE:-checkpoints/smollm2-135m-instruct}"
SYSTEMS="${SYSTEMS:-none text rate4 rate16}"
FIRST="${FIRST:-200}" SECOND="${SECOND:-60}" THIRD="${THIRD:-40}"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}" ONEDNN_PRIMITIVE_CACHE_CAPACITY="${ONEDNN_PRIMITIVE_CACHE_CAPACITY:-200}"
ROWS="$WORK/rows"

lit_llm() { # log, verb and options
    "$PYTHON" -m lit_llm "${@:2}" >>"$1" 2>&1 || { tail -n 5 "$1" >&2; exit 1; }
}
fit() { # run, stage whose run file it is, rows, steps, base, further options
    local run="$WORK/$1" resume=()
    [ ! -f "$run/.done" ] || return 0
    [ ! -f "$run/last.ckpt" ] || resume=(--ckpt_path last)
    echo "$(date +%T) fit $1"
    lit_llm "$WORK/$1.log" fit --config "configs/run/clara_qwen3_4b_$2.yaml" "${@:6}" \
        --model.backbone "$5" --model.gradient_checkpointing false --model.optimizer.lr 1.0e-3 \
        --model.generator.max_new_tokens 32 --data.train "$ROWS/$3.jsonl" --data.valid "$ROWS/valid.jsonl" \
        --data.batch_size 8 --data.eval_batch_size 16 --trainer.accumulate_grad_batches 1 \
        --trainer.max_steps "$4" --trainer.max_epochs -1 --trainer.val_check_interval "$4" \
        --trainer.check_val_every_n_epoch null --trainer.log_every_n_steps 5 --trainer.default_root_dir "$run" \
        --trainer.callbacks+=lit_llm.callbacks.RunCheckpoint --trainer.callbacks.every_n_steps=10 "${resume[@]}"
    touch "$run/.done"
}
ask() { # run, name of the answers, further options
    local run="$WORK/$1"
    [ ! -f "$run/.asked-$2" ] || return 0
    echo "$(date +%T) ask $1 $2"
    mkdir -p "$run/answers"
    lit_llm "$run/$2.log" predict --config "$run/config.yaml" --data.test "{$2: $ROWS/test.jsonl}" \
        --predictions "$run/answers/$2.csv" "${@:3}"
    touch "$run/.asked-$2"
}
plain() { # system, rows of the first phase, options
    fit "$1-1" 1 "$2" "$FIRST" "$BASE" "${@:3}"
    [ -d "$WORK/$1-base" ] || lit_llm "$WORK/$1-1.log" export --run "$WORK/$1-1" --merged "$WORK/$1-base"
    fit "$1-2" 1 instruct "$((SECOND + THIRD))" "$WORK/$1-base" "${@:3}"
}

mkdir -p "$WORK"
if [ ! -f "$ROWS/.done" ]; then
    "$PYTHON" scripts/real_weights/passage_rows.py \
        --published "$PUBLISHED" --train "$SQUAD" --test "$XQUAD" --output "$ROWS" | tee "$WORK/rows.txt"
    cat "$ROWS/pretrain.jsonl" "$ROWS/again.jsonl" >"$ROWS/both.jsonl"
    touch "$ROWS/.done"
fi
given=(--data.retriever null --data.corpus null --data.candidates null --data.reads null)
words=(--data.retriever lit_llm.retrieval.BM25 --data.corpus "$ROWS/test_corpus.jsonl")
meaning=(--data.retriever lit_llm.retrieval.Dense --data.retriever.model "$ENCODER" --data.corpus "$ROWS/test_corpus.jsonl")
learned=(--data.retriever lit_llm.retrieval.BM25 --data.corpus "$ROWS/train_corpus.jsonl" --data.candidates 20)

for system in $SYSTEMS; do
    case "$system" in
    none)
        # Nothing can be written down again that is not shown.
        plain none pretrain --model lit_llm.models.CausalLM --data.passages none
        ask none-2 nothing
        ;;
    text)
        plain text both --model lit_llm.models.CausalLM --data.passages text
        ask text-2 gold
        ask text-2 words "${words[@]}" --data.candidates 2
        ask text-2 meaning "${meaning[@]}" --data.candidates 2
        ;;
    *)
        rate=(--model.rate "${system#rate}")
        fit "$system-1" 1 both "$FIRST" "$BASE" "${rate[@]}"
        fit "$system-2" 2 instruct "$SECOND" "$BASE" "${rate[@]}" --model.start_from "$WORK/$system-1"
        fit "$system-3" 3 train "$THIRD" "$BASE" "${rate[@]}" --model.start_from "$WORK/$system-2" --data.reads 2 "${learned[@]}"
        ask "$system-2" gold "${given[@]}"
        ask "$system-3" gold "${given[@]}"
        ask "$system-3" rolled "${given[@]}" --data.corrupt rolled
        ask "$system-3" words "${words[@]}" --data.reads 2 --data.candidates 2
        ask "$system-3" meaning "${meaning[@]}" --data.reads 2 --data.candidates 2
        ask "$system-3" among "${words[@]}" --data.reads 2 --data.candidates 20
        [ -f "$WORK/$system-index/index.json" ] || lit_llm "$WORK/$system-3.log" compress \
            --run "$WORK/$system-3" --corpus "$ROWS/test_corpus.jsonl" --output "$WORK/$system-index"
        ask "$system-3" all "${given[@]}" --data.reads 2 --data.index "$WORK/$system-index"
        ;;
    esac
done
"$PYTHON" scripts/real_weights/passage_scores.py --rows "$ROWS/test.jsonl" "$WORK"/*/answers/*.csv
