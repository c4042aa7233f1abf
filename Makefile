# make demo | test | test-slow | lint. Each creates .venv and installs what it needs; the second time it does not.
#
# PYTHON=python3.12   another interpreter (3.11 or newer)
# TORCH="..."         what to hand to `pip install` for torch, such as TORCH=torch==2.13.0; by default the build with
#                     CUDA where there is an NVIDIA GPU, and else the much smaller one for CPUs

PYTHON ?= $(shell command -v python3.11 || command -v python3)
TORCH ?=

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
PINNED := $(shell grep '^torch==' constraints.txt)
STAMP := $(VENV)/.installed

# Two processes share the cores; commands that tests start find the package compiled.
TESTED := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=

.PHONY: help install demo test test-slow lint
.DEFAULT_GOAL := help

help:
	@sed -n '1,5s/^# \{0,1\}//p' Makefile

install: $(STAMP)

demo: $(STAMP)
	PYTHON=$(PY) scripts/demo.sh

test: $(STAMP)
	$(TESTED) $(PY) -m pytest -n 2

test-slow: $(STAMP)
	$(TESTED) $(PY) -m pytest -m "slow and not gpu" -n 2 --dist loadfile --no-loadscope-reorder --durations=10

lint: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

$(PY):
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "error: '$(PYTHON)' is not Python 3.11 or newer; name one with: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "error: '$(PYTHON)' cannot create a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)

# torch comes first and alone, so that the build for this machine (CPU or a CUDA version) is chosen once
# and the second command keeps it, whatever constraints.txt says.
$(STAMP): pyproject.toml constraints.txt | $(PY)
	torch="$(TORCH)"; $(PIP) install $${torch:-$$(PYTHON=$(PY) scripts/choose_torch.sh $(PINNED))}
	@grep -v '^torch==' constraints.txt > $(VENV)/constraints.txt
	@$(PIP) freeze | grep '^torch==' >> $(VENV)/constraints.txt
	$(PIP) install -c $(VENV)/constraints.txt -e '.[constrained,llama,nahuatl,quantization,retrieval,sign,dev]'
	@touch $@
