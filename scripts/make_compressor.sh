#!/usr/bin/env bash
# Makes .venv-compressor, the environment that `quantize --method gptq | awq | autoround | w8a8 | smoothquant` works in:
# llm-compressor wants other versions than this project's. TORCH says what to hand to `pip install` for torch, as for make.
set -euo pipefail
cd "$(dirname "$0")/.."

python="${PYTHON:-$(command -v python3.11 || command -v python3)}"
torch="${TORCH:-$(grep '^torch==' constraints.txt)}"
"$python" -m venv .venv-compressor
# shellcheck disable=SC2086 # options may stand beside the package
.venv-compressor/bin/pip install --disable-pip-version-check $torch
.venv-compressor/bin/pip install --disable-pip-version-check llmcompressor==0.14.0.1
