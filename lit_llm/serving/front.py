"""The HTTP server that clients talk to, on this machine alone; it hands completed requests on to llama.cpp."""

from __future__ import annotations

import hmac
import json
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from lit_llm.serving.requests import BadRequest, Requests

HOME = "127.0.0.1"
"""The one address that is listened at."""

LARGEST = 1 << 22
"""Bytes of a request, at most."""

PATIENCE = 60
"""Seconds that a client may take to send or to receive the next piece."""

CHAT = ("/v1/chat/completions", "/chat/completions")

GUARDS = {"X-Frame-Options": "DENY", "Content-Security-Policy": "frame-ancestors 'none'"}
"""Headers of the page: no page of somebody else's may show it inside of itself."""


class Front(ThreadingHTTPServer):
    """Answers ``/v1/chat/completions``, ``/v1/models``, ``/health`` and, at ``/``, a page to try it in.

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
        self._asked: set[socket.socket] = set()
        self._lock, self._ended = threading.Lock(), False
        super().__init__((HOME, port), _Handler)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://{HOME}:{self.server_port}"

    @property
    def own_names(self) -> set[str]:
        """How clients call it, in a header."""
        names = {HOME, "localhost"}
        return {f"{name}:{self.server_port}" for name in names} | (names if self.server_port == 80 else set())

    @contextmanager
    def asking(self, body: dict[str, Any]) -> Iterator[tuple[HTTPConnection, socket.socket]]:
        """Send a request to llama.cpp, whose connection is closed at the end, or by ``end``.

        Raises:
            OSError: if it cannot be reached, or the server is ending.
        """
        connection = HTTPConnection(self.engine)
        connection.connect()
        line: socket.socket = connection.sock
        try:
            with self._lock:
                if self._ended:
                    raise OSError("the server is ending")
                self._asked.add(line)
            head = {"Content-Type": "application/json", "Authorization": f"Bearer {self.engine_key}"}
            connection.request("POST", CHAT[0], json.dumps(body).encode(), head)
            yield connection, line
        finally:
            with self._lock:
                self._asked.discard(line)
            connection.close()

    def end(self) -> None:
        """Let go of the answers that are being written: llama.cpp cannot be closed while it is waited for."""
        with self._lock:
            self._ended = True
            for line in self._asked:
                with suppress(OSError):
                    line.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: Front
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE

    def log_message(self, *args: Any) -> None:
        """Say nothing: a terminal full of requests hides what matters."""

    def do_GET(self) -> None:
        """Answer a page or a question about the server."""
        # A body is not read, and must not be taken for the next request.
        self.close_connection = self.close_connection or self.headers.get("Content-Length", "0") != "0"
        path = self.path.partition("?")[0]
        if not self._is_welcome(path, open_paths=("/", "/health")):
            return
        if path == "/":
            page = files("lit_llm.serving").joinpath("page.html").read_bytes()
            self._send(200, page, "text/html; charset=utf-8", GUARDS)
        elif path == "/health":
            self._json(200, {"status": "ok"})
        elif path == "/v1/models":
            model = {"id": self.server.name, "object": "model", "owned_by": "lit_llm"}
            self._json(200, {"object": "list", "data": [model]})
        else:
            self._fail(404, f"{path} is not served here: ask {CHAT[0]}, /v1/models or /health")

    def do_POST(self) -> None:
        """Answer a conversation."""
        content, path = self._content(), self.path.partition("?")[0]
        if content is None or not self._is_welcome(path):
            return
        if path not in CHAT:
            self._fail(404, f"{path} is not served here: post to {CHAT[0]}")
            return
        try:
            given = json.loads(content)
        except (ValueError, RecursionError) as error:
            self._fail(400, f"the body is no JSON: {error}")
            return
        try:
            body = self.server.requests.completed(given)
        except BadRequest as error:
            self._fail(400, f"{error.field}: {error}" if error.field else str(error), error.field)
            return
        self._hand_on(body)

    def _content(self) -> bytes | None:
        """Return the body of a request; None once it is refused for its length."""
        size = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not (size.isascii() and size.isdigit()):
            self.close_connection = True
            self._fail(411, "send the body with a Content-Length, and without Transfer-Encoding")
            return None
        if len(size) > 9 or int(size) > LARGEST:
            self.close_connection = True
            self._fail(413, f"the body has more than {LARGEST} bytes")
            # A connection that is closed on who still sends takes the answer with it.
            left = LARGEST << 4
            self.connection.settimeout(1)
            with suppress(OSError):
                while left > 0 and (part := self.rfile.read1(LARGEST)):
                    left -= len(part)
            return None
        return self.rfile.read(int(size))

    def _is_welcome(self, path: str, open_paths: tuple[str, ...] = ()) -> bool:
        """Tell whether a request comes from this machine's own names and brings the key; answer it if it does not."""
        origin = self.headers.get("Origin")
        # A page of somebody else's, which a name server has pointed here, is no client.
        asked = [self.headers.get("Host", ""), *([origin.partition("//")[2]] if origin else [])]
        if any(name.lower() not in self.server.own_names for name in asked):
            self.close_connection = True
            self._fail(403, f"this server answers to {self.server.address} alone")
            return False
        given = self.headers.get("Authorization", "").removeprefix("Bearer ").encode("latin-1")
        wanted = (self.server.key or "").encode()
        if wanted and path not in open_paths and not hmac.compare_digest(given, wanted):
            self.close_connection = True
            self._fail(401, "the key is wrong or missing: send the header Authorization: Bearer KEY")
            return False
        return True

    def _hand_on(self, body: dict[str, Any]) -> None:
        """Let llama.cpp answer; a client that is gone ends the work on its answer."""
        try:
            with self.server.asking(body) as (connection, line):
                if not self._is_there(line):
                    self.close_connection = True
                    return
                answer = connection.getresponse()
                if body.get("stream"):
                    self._pass(answer)
                    return
                content = answer.read()
        except (OSError, HTTPException) as error:
            self._fail(502, f"llama.cpp does not answer: {error}")
            return
        self._send(answer.status, content, answer.headers.get("Content-Type", "application/json"))

    def _is_there(self, engine: socket.socket) -> bool:
        """Wait for an answer; False if the client is gone before."""
        ready = select.poll()
        for line in (engine, self.connection):
            ready.register(line, select.POLLIN)
        if engine.fileno() in dict(ready.poll()):
            return True
        with suppress(OSError):
            if self.connection.recv(1, socket.MSG_PEEK):
                # Whatever a client sends before it has its answer is read afterwards.
                ready.unregister(self.connection)
                ready.poll()
                return True
        return False

    def _pass(self, answer: HTTPResponse) -> None:
        """Send an answer on as it comes; where either side breaks off, so does the answer."""
        self.close_connection = True
        with suppress(OSError, HTTPException):
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers.get("Content-Type", "text/event-stream"))
            self.send_header("Connection", "close")
            self.end_headers()
            while part := answer.read1():
                self.wfile.write(part)
                self.wfile.flush()

    def _fail(self, status: int, message: str, field: str | None = None) -> None:
        kind = "invalid_request_error" if status < 500 else "server_error"
        self._json(status, {"error": {"message": message, "type": kind, "param": field or None, "code": status}})

    def _json(self, status: int, found: Any) -> None:
        self._send(status, json.dumps(found).encode(), "application/json")

    def _send(self, status: int, content: bytes, kind: str, more: dict[str, str] | None = None) -> None:
        try:
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **(more or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
        except OSError:
            self.close_connection = True
