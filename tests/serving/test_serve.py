"""A run over HTTP: the answers of ``predict``, whoever asks and however many at a time."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lit_llm.__main__ import main
from lit_llm.commands.export import export
from lit_llm.llama_cpp import Engine
from lit_llm.report.answering import Answerer
from lit_llm.report.runs import open_settings
from lit_llm.serving import Front, Requests
from tests import short_runs

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = {
    "type": "object",
    "properties": {"pan": {"type": "string", "maxLength": 12}, "n": {"type": "integer", "maximum": 99, "minimum": 0}},
    "required": ["pan", "n"],
    "additionalProperties": False,
}
CONSTRAINT = {"class_path": "lit_llm.generation.JsonSchemaConstraint"}
TEXTS = [f"quiero {n} panes de {'muchos ' * (n % 5)}ñandú" for n in range(32)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run that holds its answers to a schema, and asks with an instruction and a system turn."""
    folder = tmp_path_factory.mktemp("served")
    rows = [{"text": f"quiero {k} panes", "json": {"pan": "blanco", "n": k}} for k in range(32)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "schema.json").write_text(json.dumps(SCHEMA))
    data = {"train": str(folder / "rows.jsonl"), "batch_size": 4, "schema": str(folder / "schema.json")}
    data |= {"system": "Contesta en JSON.", "instruction": "Pedido: {text}."}
    generator = {"max_new_tokens": 24, "stop": "json", "constraint": CONSTRAINT}
    return short_runs.fit(
        folder / "run",
        data,
        steps=24,
        optimizer={"class_path": "torch.optim.AdamW", "init_args": {"lr": 4e-3}},
        backbone=str(ROOT / "checkpoints/qwen3-tiny"),
        generator={"class_path": "lit_llm.generation.Generator", "init_args": generator},
    )


@pytest.fixture(scope="module")
def served(run: Path) -> Iterator[tuple[Front, Engine]]:
    file = run.parent / "model.gguf"
    export(run, file, gguf=True)
    model: Any
    model, data = open_settings(run)
    requests = Requests(data, model.generator.max_new_tokens, {}, data.schema)  # type: ignore[attr-defined]
    with (
        Engine(file, 8 * 256, 1, 8, "prueba") as engine,
        Front(0, "prueba", requests, engine.address, engine.key) as front,
    ):
        thread = threading.Thread(target=front.serve_forever, daemon=True)
        thread.start()
        yield front, engine
        front.shutdown()


def post(front: Front, body: Any, **headers: str) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"{front.address}/v1/chat/completions", content, headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def turn(text: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **more}


def answer(front: Front, text: str, **more: Any) -> str:
    status, found = post(front, turn(text, **more))
    assert status == 200, found
    assert found["model"] == "prueba"
    return str(found["choices"][0]["message"]["content"])


@pytest.mark.slow
def test_many_at_a_time_get_the_answers_of_predict(served: tuple[Front, Engine], run: Path) -> None:
    front, _ = served
    with ThreadPoolExecutor(32) as pool:
        together = list(pool.map(lambda text: answer(front, text), TEXTS))
    assert together == [answer(front, text) for text in TEXTS]
    for text in together:
        jsonschema.validate(json.loads(text), SCHEMA)
    # A model that has learned its schema: held to one that it does not know, it may choose between ways to cut a key.
    assert together == [row.raw for row in Answerer(run).answer(TEXTS)]
    assert len(set(together)) > 3


def test_a_request_may_have_a_schema_and_turns_of_its_own(served: tuple[Front, Engine]) -> None:
    front, _ = served
    other = {"type": "object", "properties": {"x": {"type": "integer", "maximum": 9, "minimum": 0}}, "required": ["x"]}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": other | {"additionalProperties": False}}}
    assert re.fullmatch(r'\{\s*"x":\s*\d\}', answer(front, TEXTS[0], response_format=form))
    assert answer(front, TEXTS[0], response_format={"type": "text"}, max_tokens=3) != answer(front, TEXTS[0])
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    status, found = post(front, {"messages": turns})
    assert status == 200
    jsonschema.validate(json.loads(found["choices"][0]["message"]["content"]), SCHEMA)


def test_a_field_that_is_null_is_as_if_it_were_not_there(served: tuple[Front, Engine]) -> None:
    front, _ = served
    nulls = dict.fromkeys(["temperature", "response_format", "max_tokens", "stream", "chat_template_kwargs"])
    assert answer(front, TEXTS[2], **nulls) == answer(front, TEXTS[2])


def test_letters_may_be_written_in_two_ways(served: tuple[Front, Engine]) -> None:
    front, _ = served
    assert answer(front, "quiero n\u0303andu\u0301") == answer(front, "quiero ñandú")


def test_answers_come_piece_by_piece(served: tuple[Front, Engine]) -> None:
    front, _ = served
    body = json.dumps(turn(TEXTS[1], stream=True)).encode()
    with urllib.request.urlopen(f"{front.address}/v1/chat/completions", body) as stream:
        parts = [json.loads(line[6:]) for line in stream if line.startswith(b"data: {")]
    pieces = [choice["delta"].get("content") or "" for part in parts for choice in part["choices"]]
    assert len(pieces) > 3
    assert "".join(pieces) == answer(front, TEXTS[1])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "the body is no JSON"),
        (b"[]", "the body is no JSON object"),
        ({}, "messages: is no list of turns"),
        ({"messages": ["a"]}, "messages: is no list of turns"),
        (turn("  "), "messages[0].content: is no text"),
        ({"messages": [{"role": "user", "content": [1]}]}, "messages[0].content: is no text"),
        (turn("a <|im_end|>"), "control token '<|im_end|>'"),
        (turn("a", chat_template_kwargs=3), "chat_template_kwargs: is no object"),
        (b"[" * 200_000, "the body is no JSON"),
    ],
)
def test_what_cannot_be_asked_is_refused(served: tuple[Front, Engine], body: Any, said: str) -> None:
    status, found = post(served[0], body)
    assert status == 400
    assert said in found["error"]["message"]


def raw(front: Front, method: str, path: str, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", front.server_port)
    connection.request(method, path, headers=headers)
    return connection.getresponse().status


def test_others_are_not_served(served: tuple[Front, Engine]) -> None:
    front, _ = served
    assert raw(front, "GET", "/") == raw(front, "GET", "/health") == raw(front, "GET", "/v1/models") == 200
    assert raw(front, "GET", "/etc/passwd") == raw(front, "GET", "/../page.html") == 404
    assert raw(front, "GET", "/", Host="elsewhere.org") == 403
    assert raw(front, "POST", "/v1/chat/completions", Origin="http://elsewhere.org") == 403
    assert raw(front, "GET", "/", Host=f"LocalHost:{front.server_port}") == 200
    assert raw(front, "POST", "/", **{"Content-Length": "9" * 5000}, Connection="close") == 413
    assert raw(front, "POST", "/", **{"Transfer-Encoding": "chunked", "Content-Length": "0"}) == 411
    assert raw(front, "POST", "/v1/chat/completions", Origin="http://[") == 403
    assert front.socket.getsockname()[0] == "127.0.0.1"


def test_a_key_is_asked_for_where_there_is_one(served: tuple[Front, Engine]) -> None:
    front, engine = served
    with Front(0, "prueba", front.requests, engine.address, engine.key, "sésamo") as locked:
        threading.Thread(target=locked.serve_forever, daemon=True).start()
        assert raw(locked, "GET", "/") == 200
        assert raw(locked, "GET", "/v1/models") == 401
        body = turn(TEXTS[0])
        assert post(locked, body)[0] == post(locked, body, Authorization="Bearer sesamo")[0] == 401
        sent = {"Authorization": "Bearer sésamo".encode().decode("latin-1")}
        assert post(locked, body, **sent)[0] == 200
        locked.shutdown()


def test_a_body_is_not_taken_for_a_request(served: tuple[Front, Engine]) -> None:
    front, _ = served
    inner = f"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1:{front.server_port}\r\n\r\n"
    outer = inner.replace("/v1/models", "/health").replace("\r\n\r\n", f"\r\nContent-Length: {len(inner)}\r\n\r\n")
    with socket.create_connection(("127.0.0.1", front.server_port)) as client:
        client.sendall((outer + inner).encode())
        said = b"".join(iter(lambda: client.recv(1 << 16), b""))
    assert said.count(b"HTTP/1.1 200") == 1


def busy(engine: Engine) -> int:
    request = urllib.request.Request(f"{engine.address}/slots", headers={"Authorization": f"Bearer {engine.key}"})
    with urllib.request.urlopen(request) as found:
        return sum(slot["is_processing"] for slot in json.load(found))


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_vanishes_leaves_no_work(served: tuple[Front, Engine], stream: bool) -> None:
    front, engine = served
    endless = turn("a", stream=stream, max_tokens=100_000, ignore_eos=True, response_format={"type": "text"})
    body = json.dumps(endless).encode()
    head = f"Host: 127.0.0.1:{front.server_port}\r\nContent-Length: {len(body)}\r\n\r\n"
    client = socket.create_connection(("127.0.0.1", front.server_port))
    client.sendall(f"POST /v1/chat/completions HTTP/1.1\r\n{head}".encode() + body)
    begun = time.monotonic()
    seen = 0
    while not seen and time.monotonic() - begun < 20:
        seen = busy(engine)
    client.close()
    while busy(engine) and time.monotonic() - begun < 40:
        time.sleep(0.05)
    assert busy(engine) == 0
    assert seen == 1


@pytest.mark.slow
def test_the_command_serves_until_it_is_interrupted(run: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lit_llm", "serve", "--run", str(run), "--port", "0", "--threads", "1"]
    endless = turn("a", max_tokens=100_000, ignore_eos=True, response_format={"type": "text"}, stream=True)
    for _ in range(2):  # the second finds its file
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        address = next(found[0] for line in lines if (found := re.findall(r"http://127.0.0.1:\d+", line)))
        with urllib.request.urlopen(f"{address}/v1/chat/completions", json.dumps(turn(TEXTS[0])).encode()) as found:
            jsonschema.validate(json.loads(json.load(found)["choices"][0]["message"]["content"]), SCHEMA)
        # An answer is being written.
        stream = urllib.request.urlopen(f"{address}/v1/chat/completions", json.dumps(endless).encode())
        stream.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        stream.close()
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(address)
    assert len(list((run / "serve").glob("*.gguf"))) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--parallel", "0"], "--parallel: 0 is not possible"),
        (["--port", "70000"], "--port: 70000 is none"),
        (["--checkpoint", "last", "--direction", "es-nah"], "direction"),
        (["--part", "x"], "no mixture"),
    ],
)
def test_what_cannot_be_served_is_refused(
    run: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--run", str(run), *options]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_the_page_shows_fields_and_how_sure_they_are(served: tuple[Front, Engine], tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser:
        pytest.skip("there is no chromium: apt-get install chromium")
    front, _ = served
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync"
    command = [browser, *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=8000"]
    dom = subprocess.run(
        [*command, "--dump-dom", f"{front.address}/?text=quiero%207%20panes"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    value = json.loads(answer(front, "quiero 7 panes"))
    cells = re.findall(r"<th>(.*?)</th><td>(.*?)</td><td class=\"sure\">(\d+) %</td>", dom)
    assert [(path, text) for path, text, _ in cells] == [(key, str(leaf)) for key, leaf in value.items()]
    assert all(0 <= int(sure) <= 100 for *_, sure in cells)
    assert "<title>prueba</title>" in dom
