"""The HTTP server that clients talk to, on this machine alone; it hands completed requests on to llama.cpp."""

from __future__ import annotations

import hmac
import json
import select
import socket
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from lit_llm.serving.requests import BadRequest, Requests

HOME = "127.0.0.1"
"""The one address that is listened at."""

LARGEST = 1 << 22
"""Bytes of a request, at most."""

CHAT = ("/v1/chat/completions", "/chat/completions")


class Front(ThreadingHTTPServer):
    """Answers ``/v1/chat/completions``, ``/v1/models``, ``/health`` and, at ``/``, a page to try the run in.

    Args:
        port: to listen at; 0 takes a free one.
        name: of the model.
        requests: the run's rules.
        engine: address of llama.cpp's server, such as ``http://127.0.0.1:4711``.
        engine_key: its key.
        key: that clients have to send; None asks for none.

    Raises:
        OSError: if the port is taken.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, port: int, name: str, requests: Requests, engine: str, engine_key: str, key: str | None = None
    ) -> None:
        self.name, self.requests, self.key = name, requests, key
        self.engine, self.engine_key = urlsplit(engine).netloc, engine_key
        super().__init__((HOME, port), _Handler)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://{HOME}:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Front
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        """Say nothing: a terminal full of requests hides what matters."""

    def do_GET(self) -> None:
        """Answer a page or a question about the server."""
        path = urlsplit(self.path).path
        if not self._is_welcome(open_paths=("/", "/health")):
            return
        if path == "/":
            page = files("lit_llm.serving").joinpath("page.html").read_bytes()
            self._send(200, page, "text/html; charset=utf-8")
        elif path == "/health":
            self._json(200, {"status": "ok"})
        elif path == "/v1/models":
            model = {"id": self.server.name, "object": "model", "owned_by": "lit_llm"}
            self._json(200, {"object": "list", "data": [model]})
        elif path == "/v1/schema":
            self._json(200, {"schema": self.server.requests.schema})
        else:
            self._fail(404, f"{path} is not served here: ask {CHAT[0]}, /v1/models, /v1/schema or /health")

    def do_POST(self) -> None:
        """Answer a conversation."""
        path = urlsplit(self.path).path
        if not self._is_welcome():
            return
        size = self.headers.get("Content-Length", "")
        if not size.isascii() or not size.isdigit() or int(size) > LARGEST:
            self.close_connection = True
            self._fail(413 if size.isdigit() else 411, f"a request has a Content-Length of {LARGEST} bytes at most")
            return
        content = self.rfile.read(int(size))
        if path not in CHAT:
            self._fail(404, f"{path} is not served here: post to {CHAT[0]}")
            return
        try:
            body = self.server.requests.completed(json.loads(content))
        except ValueError as error:
            self._fail(400, f"the body is no JSON: {error}")
        except BadRequest as error:
            self._fail(400, f"{error.field}: {error}" if error.field else str(error), error.field)
        else:
            self._hand_on(body)

    def _is_welcome(self, open_paths: tuple[str, ...] = ()) -> bool:
        """Tell whether a request comes from this machine's own names and brings the key; answer it if it does not."""
        own = {f"{name}:{self.server.server_port}" for name in (HOME, "localhost")}
        origin = self.headers.get("Origin")
        # A page of somebody else's, which a name server has pointed here, is no client.
        if self.headers.get("Host") not in own or (origin and urlsplit(origin).netloc not in own):
            self.close_connection = True
            self._fail(403, f"this server answers to {self.server.address} alone")
            return False
        given = self.headers.get("Authorization", "").removeprefix("Bearer ").encode("latin-1")
        wanted = (self.server.key or "").encode()
        if wanted and urlsplit(self.path).path not in open_paths and not hmac.compare_digest(given, wanted):
            self.close_connection = True
            self._fail(401, "the key is wrong or missing: send the header Authorization: Bearer KEY")
            return False
        return True

    def _hand_on(self, body: dict[str, Any]) -> None:
        """Let llama.cpp answer; a client that is gone ends the work on its answer."""
        head = {"Content-Type": "application/json", "Authorization": f"Bearer {self.server.engine_key}"}
        with closing(HTTPConnection(self.server.engine)) as engine:
            try:
                engine.request("POST", CHAT[0], json.dumps(body).encode(), head)
                if not self._answered(engine.sock):
                    self.close_connection = True
                    return
                answer = engine.getresponse()
                kind = answer.headers.get("Content-Type", "application/json")
                if not body.get("stream"):
                    self._send(answer.status, answer.read(), kind)
                    return
                self.close_connection = True
                self.send_response(answer.status)
                self.send_header("Content-Type", kind)
                self.send_header("Connection", "close")
                self.end_headers()
                while part := answer.read1():
                    self.wfile.write(part)
                    self.wfile.flush()
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True
            except (OSError, HTTPException) as error:
                self.close_connection = True
                with suppress(OSError):
                    self._fail(502, f"llama.cpp does not answer: {error}")

    def _answered(self, engine: socket.socket) -> bool:
        """Wait for an answer; False if the client is gone before."""
        while True:
            ready, _, _ = select.select([engine, self.connection], [], [])
            if engine in ready:
                return True
            # Whatever else a client sends before its answer is read afterwards.
            if not self.connection.recv(1, socket.MSG_PEEK):
                return False
            select.select([engine], [], [])
            return True

    def _fail(self, status: int, message: str, field: str | None = None) -> None:
        kind = "invalid_request_error" if status < 500 else "server_error"
        self._json(status, {"error": {"message": message, "type": kind, "param": field or None, "code": status}})

    def _json(self, status: int, found: Any) -> None:
        self._send(status, json.dumps(found, ensure_ascii=False).encode(), "application/json")

    def _send(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
