"""What benchmarks of memory share: each side in a process of its own, and what that process holds."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any


def in_fresh_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function of a module returns in a process that was started for it.

    Raises:
        EOFError: if it fails there.
    """
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(send, function, arguments))
    process.start()
    send.close()  # so that a process that fails ends the wait
    found = receive.recv()
    process.join()
    return found


def _send(answer: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    answer.send(function(*arguments))


def memory(name: str) -> int:
    """Return a figure of this process's memory in bytes: ``VmRSS`` now, or ``VmHWM``, the most so far."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{name}:")[1].split()[0]) * 1024


def forget_peak() -> None:
    """Let ``VmHWM`` begin at what is held now."""
    Path("/proc/self/clear_refs").write_text("5")
