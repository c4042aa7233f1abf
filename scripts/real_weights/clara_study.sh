#!/usr/bin/env bash
# What vectors of passages do for a real pretrained model, on a CPU: questions that people asked are answered from
# vectors at two rates, from the text of passages, and from nothing; passages are given, found by BM25, by a sentence
# encoder, or by their vectors. Hours on two cores; started again, it goes on where it was stopped.
#   PUBLISHED=… SQUAD=… XQUAD=… ENCODER=… scripts/real_weights/clara_study.sh
# The first three are the files of passage_rows.py; ENCODER is a folder of sentence-transformers.
set -euo pipefail
cd "$(dirname "$0")/../.."

PYTHON="${PYTHON:-.venv/bin/python}"
WORK="${WORK:-checkpoints/clara_study}"
BASE="${BASE:-checkpoints/smollm2-135m-instruct}"
RATES="${RATES:-4 16}"
FIRST="${FIRST:-200}" SECOND="${SECOND:-60}" THIRD="${THIRD:-40}" # steps of the stages
SYSTEMS="${SYSTEMS:-vectors text none}"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}" ONEDNN_PRIMITIVE_CACHE_CAPACITY="${ONEDNN_PRIMITIVE_CACHE_CAPACITY:-200}"
ROWS="$WORK/rows"

fit() { # run, stage whose run file it is, rows, steps, further options
    local run="$WORK/$1" resume=()
    [ ! -f "$run/.done" ] || return 0
    [ ! -f "$run/last.ckpt" ] || resume=(--ckpt_path last)
    echo "$(date +%T) fit $1"
    "$PYTHON" -m lit_llm fit --config "configs/run/clara_qwen3_4b_$2.yaml" "${@:5}" \
        --model.backbone "$BASE" --model.gradient_checkpointing false --model.optimizer.lr 1.0e-3 \
        --model.generator.max_new_tokens 32 --data.train "$ROWS/$3.jsonl" --data.valid "$ROWS/valid.jsonl" \
        --data.pairs apart --data.batch_size 8 --data.eval_batch_size 16 --trainer.accumulate_grad_batches 1 \
        --trainer.max_steps "$4" --trainer.max_epochs -1 --trainer.val_check_interval "$4" \
        --trainer.check_val_every_n_epoch null --trainer.log_every_n_steps 5 --trainer.default_root_dir "$run" \
        "${resume[@]}" >>"$WORK/$1.log" 2>&1 || { tail -n 5 "$WORK/$1.log" >&2; exit 1; }
    touch "$run/.done"
}
ask() { # run, name of the test, further options
    local run="$WORK/$1"
    [ ! -f "$run/.asked-$2" ] || return 0
    echo "$(date +%T) test $1 $2"
    "$PYTHON" -m lit_llm test --config "$run/config.yaml" --data.test "{$2: $ROWS/test.jsonl}" "${@:3}" \
        >"$run/$2.log" 2>&1 || { tail -n 5 "$run/$2.log" >&2; exit 1; }
    touch "$run/.asked-$2"
}

mkdir -p "$WORK"
[ -f "$ROWS/test_corpus.jsonl" ] || "$PYTHON" scripts/real_weights/passage_rows.py \
    --published "$PUBLISHED" --train "$SQUAD" --test "$XQUAD" --output "$ROWS"
cat "$ROWS/pretrain.jsonl" "$ROWS/instruct.jsonl" >"$ROWS/both.jsonl"
words=(--data.retriever lit_llm.retrieval.BM25 --data.corpus "$ROWS/test_corpus.jsonl")
meaning=(--data.retriever lit_llm.retrieval.Dense --data.retriever.model "$ENCODER" --data.corpus "$ROWS/test_corpus.jsonl")
learned=(--data.retriever lit_llm.retrieval.BM25 --data.corpus "$ROWS/train_corpus.jsonl" --data.candidates 20)

for system in $SYSTEMS; do
    case "$system" in
    vectors)
        for rate in $RATES; do
            name="rate$rate"
            fit "$name-1" 1 pretrain "$FIRST" --model.rate "$rate"
            fit "$name-2" 2 instruct "$SECOND" --model.rate "$rate" --model.start_from "$WORK/$name-1"
            fit "$name-3" 3 train "$THIRD" --model.rate "$rate" --model.start_from "$WORK/$name-2" --data.reads 2 "${learned[@]}"
            for stage in 2 3; do
                ask "$name-$stage" gold --data.retriever null --data.corpus null --data.candidates null --data.reads 1
                ask "$name-$stage" rolled --data.retriever null --data.corpus null --data.candidates null --data.reads 1 --data.corrupt rolled
                ask "$name-$stage" among "${words[@]}" --data.reads 2 --data.candidates 20
            done
            ask "$name-2" words "${words[@]}" --data.reads 2 --data.candidates 2
            "$PYTHON" -m lit_llm compress --run "$WORK/$name-3" --corpus "$ROWS/test_corpus.jsonl" --output "$WORK/$name-index"
            ask "$name-3" all --data.retriever null --data.corpus null --data.candidates null --data.index "$WORK/$name-index"
        done
        ;;
    text)
        fit text 1 both "$((FIRST + SECOND))" --model lit_llm.models.CausalLM --data.passages text
        ask text gold
        ask text words "${words[@]}" --data.candidates 2
        ask text meaning "${meaning[@]}" --data.candidates 2
        ;;
    none)
        fit none 1 both "$((FIRST + SECOND))" --model lit_llm.models.CausalLM --data.passages none
        ask none nothing
        ;;
    esac
done
