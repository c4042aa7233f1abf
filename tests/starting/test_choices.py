"""Which column is what, and which base fits: guesses that can be told otherwise."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from lit_llm.__main__ import main
from lit_llm.errors import ConfigError
from lit_llm.starting import bases
from lit_llm.starting.budgets import Budget
from lit_llm.starting.columns import json_columns, language, present, schema_column, text_columns
from lit_llm.starting.plan import Plan
from lit_llm.starting.run_file import run_file

VALUE, SCHEMA = '{"n": 2}', '{"type": "object", "properties": {"n": {}}}'


@pytest.mark.parametrize(
    ("row", "text", "target"),
    [
        ({"mensaje": "quiero dos panes", "salida": VALUE}, "mensaje", "salida"),
        ({"json_data": {"n": 2}, "natural_language": "quiero dos"}, "natural_language", "json_data"),
        ({"folio": "F-1", "cuerpo": "quiero dos panes", "extra": VALUE, "ANSWER": VALUE}, "cuerpo", "ANSWER"),
        ({"tipo": "a b", "lo dicho": "una frase más larga que las demás", "datos": VALUE}, "lo dicho", "datos"),
        ({"texto": "dos", "esquema": SCHEMA, "valor": VALUE}, "texto", "valor"),
    ],
)
def test_columns_are_guessed(row: dict[str, Any], text: str, target: str) -> None:
    rows = [row | {"folio": f"F-{k}"} for k in range(5)]
    schema = schema_column(rows, list(row))
    found = [column for column in json_columns(rows, list(row)) if column != schema]
    assert found[0] == target
    assert text_columns(rows, list(row), [*found, "folio", schema or ""])[0] == text


@pytest.mark.parametrize(
    ("name", "hint"), [("mensage", "did you mean 'Mensaje'"), ("MENSAJE", "did you mean 'Mensaje'"), ("z", "there are")]
)
def test_a_column_that_is_not_there(name: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint):
        present("--text", name, ["Mensaje", "salida"])


@pytest.mark.parametrize(
    ("column", "called"), [("es", "español"), ("spa_Latn", "español"), ("Náhuatl", "náhuatl"), ("frase", None)]
)
def test_the_language_of_a_column(column: str, called: str | None) -> None:
    assert language(column) == called


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A hub that has one model."""

    class Answers(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200 if "/Qwen/Qwen3-4B/" in self.path else 404)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.parametrize(
    ("memory", "backbone", "reason"),
    [
        (None, "qwen3-tiny", "there is no GPU here"),
        (3.0, "qwen3-tiny", "too few"),
        (24.0, "Qwen/Qwen3-4B", "the GPU has 24 GiB"),
        (80.0, "qwen3-tiny", "Qwen/Qwen3-8B is not on this machine and its hub does not answer"),
    ],
)
def test_the_base_fits_the_machine(
    hub: str, monkeypatch: pytest.MonkeyPatch, memory: float | None, backbone: str, reason: str
) -> None:
    monkeypatch.setattr(bases, "gpu_memory", lambda: memory)
    base = bases.choose()
    assert base.backbone.endswith(backbone)
    assert reason in base.reason
    assert base.embedded is base.tiny is backbone.startswith("qwen3-tiny")


@pytest.mark.parametrize("variable", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}])
def test_a_hub_that_does_not_answer(hub: str, monkeypatch: pytest.MonkeyPatch, variable: dict[str, str]) -> None:
    assert bases.reachable("Qwen/Qwen3-4B")
    for name, value in variable.items():
        monkeypatch.setenv(name, value)
    assert not bases.reachable("Qwen/Qwen3-4B")


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ("checkpoints/qwen3-tinny", "did you mean checkpoints/qwen3-tiny"),
        ("qwen3", "there is no folder qwen3"),
        ("Qwen/Qwen3-400B", "the hub has no such model or does not answer"),
    ],
)
def test_a_base_that_cannot_be_had(
    hub: str, root: Path, monkeypatch: pytest.MonkeyPatch, backbone: str, message: str
) -> None:
    monkeypatch.chdir(root)
    assert bases.choose("checkpoints/qwen3-tiny") == bases.choose(str(root / "checkpoints/qwen3-tiny"))
    assert not bases.choose("Qwen/Qwen3-4B").tiny
    with pytest.raises(ConfigError, match=message):
        bases.choose(backbone)


@pytest.mark.parametrize(
    ("task", "kind", "backbone"),
    [
        ("extraction", "Extraction", "Qwen/Qwen3-8B"),
        ("translation", "Translation", "tiny"),
        ("sign", "Sign", "Qwen/Qwen3-0.6B"),
    ],
)
def test_a_run_file_is_one_that_fit_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str, kind: str, backbone: str
) -> None:
    tiny = backbone == "tiny"
    base = bases.Base(backbone, tiny, gpu=not tiny, reason="it fits")
    plan = Plan(task, [Path("a.csv")], f"lit_llm.data.{kind}Data", {"keep": ["folio"]}, [], [], ["text"], schema={})
    (tmp_path / "run.yaml").write_text(run_file(plan, base, Budget(96, 90, 32, 30, epochs=7)), encoding="utf-8")
    with pytest.raises(SystemExit):
        main(["fit", "--config", str(tmp_path / "run.yaml"), "--print_config"])
    found = yaml.safe_load(capsys.readouterr().out)
    assert found["model"]["init_args"]["backbone"] == backbone
    assert (found["trainer"]["max_epochs"], found["trainer"]["check_val_every_n_epoch"]) == (7, 2)
    assert found["trainer"]["precision"] == (None if tiny else "bf16-mixed")
    assert found["model"]["init_args"]["gradient_checkpointing"] is (backbone == "Qwen/Qwen3-8B")
