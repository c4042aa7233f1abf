"""A hub that answers, refuses, hangs or is not there is told apart within a moment."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from lit_llm.errors import ConfigError
from lit_llm.models import Loading, hub
from lit_llm.models.backbone import open_tokenizer


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    hub.answers.cache_clear()
    monkeypatch.setattr(hub, "PATIENCE", 0.5)


@contextmanager
def serving(status: int) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(status)
            self.end_headers()

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.parametrize("status", [200, 404, 503])
def test_an_error_page_is_an_answer(status: int) -> None:
    with serving(status) as address:
        assert hub.answers(address)


def test_a_hub_that_hangs_or_is_not_there_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        began = time.monotonic()
        assert not hub.answers(f"http://127.0.0.1:{port}")
        assert time.monotonic() - began < 10
    assert not hub.answers(f"http://127.0.0.1:{port}/closed")
    assert not hub.answers("no address at all")


def test_a_model_of_a_hub_that_does_not_answer_is_not_asked_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        with pytest.raises(ConfigError, match=f"{address} does not answer.*hf download someone/something"):
            open_tokenizer("someone/something", Loading())
    assert "Retrying" not in caplog.text


def test_a_folder_needs_no_hub(tmp_path: object) -> None:
    assert hub.settings(str(tmp_path)) == {}
