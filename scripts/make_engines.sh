#!/usr/bin/env bash
# Makes the environments of the engines that scripts/benchmarks/engines.py compares with, each in a folder of its own:
# .venv-openvino and .venv-mistralrs. llama.cpp's is the extra `llama` of this project.
set -euo pipefail
cd "$(dirname "$0")/.."

python="${PYTHON:-$(command -v python3.11 || command -v python3)}"
for engine in openvino-genai==2026.4.1.0 mistralrs==0.9.5; do
    name="${engine%%==*}"
    folder=".venv-${name%-genai}"
    "$python" -m venv "$folder"
    "$folder/bin/pip" install --disable-pip-version-check "$engine"
done
