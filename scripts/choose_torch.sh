#!/usr/bin/env bash
# Prints what to hand to `pip install` for PyTorch on this machine, and on stderr, in one line, why.
#   scripts/choose_torch.sh torch==VERSION
# CPU_INDEX=URL and DEVICES=folder stand for PyTorch's index of CPU builds and /dev.
set -euo pipefail

wanted="$1"
index="${CPU_INDEX:-https://download.pytorch.org/whl/cpu}"
devices="${DEVICES:-/dev}"
python="${PYTHON:-python3}"

has_gpu() {
    [ -e "$devices/nvidia0" ] || [ -e "$devices/nvidiactl" ] || [ -e "$devices/dxg" ] && return
    nvidia-smi -L 2>/dev/null | grep -q GPU && return
    lspci 2>/dev/null | grep -qi 'nvidia'
}

index_answers() {
    "$python" -c 'import sys, urllib.request as web; web.urlopen(sys.argv[1], timeout=5).close()' "$index/torch/" 2>/dev/null
}

if has_gpu; then
    echo "$wanted"
    echo "PyTorch: this machine has an NVIDIA GPU, so the build with CUDA; TORCH=… overrides it" >&2
elif index_answers; then
    echo "$wanted --index-url $index"
    echo "PyTorch: no NVIDIA GPU here, so the build for CPUs, which is gigabytes smaller; TORCH=… overrides it" >&2
else
    echo "$wanted"
    echo "PyTorch: no NVIDIA GPU here, but $index does not answer, so the plain package; TORCH=… overrides it" >&2
fi
