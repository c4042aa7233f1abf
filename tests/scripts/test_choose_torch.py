"""Which build of PyTorch `make` installs, by what the machine has."""

from __future__ import annotations

import os
import subprocess
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from threading import Thread

import pytest

NOWHERE = "http://127.0.0.1:9/whl/cpu"


def choose(root: Path, folder: Path, index: str, path: str = "") -> tuple[str, str]:
    environment = os.environ | {"CPU_INDEX": index, "DEVICES": str(folder), "PATH": f"{path}:/usr/bin:/bin"}
    command = [root / "scripts/choose_torch.sh", "torch==1.2.3"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip(), done.stderr


@pytest.mark.parametrize("device", ["nvidia0", "nvidiactl", "dxg"])
def test_with_a_gpu_the_plain_package_has_cuda(device: str, root: Path, tmp_path: Path) -> None:
    (tmp_path / device).touch()
    chosen, why = choose(root, tmp_path, NOWHERE)
    assert chosen == "torch==1.2.3"
    assert "has an NVIDIA GPU" in why


def test_a_driver_that_lists_a_gpu_is_one(root: Path, tmp_path: Path) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA T4 (UUID: GPU-0)'\n")
    tool.chmod(0o755)
    assert "has an NVIDIA GPU" in choose(root, tmp_path, NOWHERE, str(tmp_path))[1]
    tool.write_text("#!/bin/sh\necho 'No devices were found'\nexit 6\n")
    assert "no NVIDIA GPU" in choose(root, tmp_path, NOWHERE, str(tmp_path))[1]


def test_without_a_gpu_the_build_for_cpus(root: Path, tmp_path: Path) -> None:
    (tmp_path / "cpu/torch").mkdir(parents=True)
    server = HTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(tmp_path)))
    Thread(target=server.serve_forever, daemon=True).start()
    index = f"http://127.0.0.1:{server.server_port}/cpu"
    chosen, why = choose(root, tmp_path, index)
    server.shutdown()
    assert chosen == f"torch==1.2.3 --index-url {index}"
    assert "build for CPUs" in why
    assert why.count("\n") == 1


def test_where_its_index_does_not_answer_the_plain_package(root: Path, tmp_path: Path) -> None:
    chosen, why = choose(root, tmp_path, NOWHERE)
    assert chosen == "torch==1.2.3"
    assert "does not answer, so the plain package" in why


@pytest.mark.parametrize(
    ("given", "wanted"), [([], "choose_torch.sh torch=="), (["TORCH=torch==9 --pre"], '"torch==9 --pre"')]
)
def test_make_takes_what_is_given(given: list[str], wanted: str, root: Path, tmp_path: Path) -> None:
    command = ["make", "-n", "-B", "install", *given]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=30, check=True)
    assert wanted in done.stdout
