from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import pytest

from lit_llm import __version__
from lit_llm.__main__ import VERBS, main
from lit_llm.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "lightning", "transformers", "peft", "jsonargparse", "numpy")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-X", "importtime", "-m", "lit_llm", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)


@pytest.fixture
def verb(monkeypatch):
    """Register a verb whose ``main`` is the function given."""

    def register(function):
        module = types.ModuleType("lit_llm_test_verb")
        module.main = function
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(VERBS, "echo", (module.__name__, "for this test"))

    return register


@pytest.mark.parametrize(
    ("arguments", "status"), [(["--help"], 0), (["-h"], 0), (["--version"], 0), ([], 2), (["ftt"], 2), (["--x"], 2)]
)
def test_what_needs_no_verb_imports_nothing_heavy(arguments, status):
    result = run(*arguments)
    assert result.returncode == status
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in result.stderr.splitlines()}
    assert "lit_llm" in imported
    assert imported.isdisjoint(HEAVY)


def test_help_lists_every_verb(capsys):
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out
    for verb, (_, text) in VERBS.items():
        assert f"  {verb} " in listed
        assert text in listed


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"lit_llm {__version__}\n"


@pytest.mark.parametrize(
    ("argument", "answer"),
    [
        ("fti", "unknown verb 'fti'; did you mean 'fit'?"),
        ("PREDICT", "did you mean 'predict'?"),
        ("exprot", "did you mean 'export'?"),
        ("zzzz", "choose from init, fit, validate"),
        ("Fine-Tune", "it is called 'fit' here"),
        ("evaluate", "it is called 'test' here"),
        ("merge-lora", "'export --run checkpoints/mine --merged FOLDER'"),
        ("my run.yaml", "python -m lit_llm fit --config 'my run.yaml'"),
        ("corpus.csv", "--data.train corpus.csv"),
        ("checkpoints/qwen3-tiny", "--model.backbone checkpoints/qwen3-tiny"),
        ("--config", "the verb comes before its options, got '--config' first"),
    ],
)
def test_a_wrong_verb_gets_the_nearest(capsys, argument, answer):
    assert main([argument]) == 2
    assert answer in capsys.readouterr().err


def test_a_command_gets_what_follows_its_verb(verb):
    seen = []
    verb(seen.append)
    assert main(["echo", "--near", "x"]) == 0
    assert seen == [["--near", "x"]]


def test_the_status_of_a_command_is_returned(verb):
    verb(lambda argv: 3)
    assert main(["echo"]) == 3


def test_an_error_of_the_user_is_one_line(verb, capsys, monkeypatch):
    monkeypatch.delenv("LIT_LLM_DEBUG", raising=False)

    def fail(argv):
        raise ConfigError("model.rank: 0 is not positive; use 16")

    verb(fail)
    assert main(["echo"]) == 1
    assert capsys.readouterr().err == "error: model.rank: 0 is not positive; use 16\n"
    monkeypatch.setenv("LIT_LLM_DEBUG", "1")
    with pytest.raises(ConfigError):
        main(["echo"])


def test_an_error_of_the_code_keeps_its_traceback(verb):
    def fail(argv):
        raise KeyError("x")

    verb(fail)
    with pytest.raises(KeyError):
        main(["echo"])


def test_ctrl_c(verb, capsys):
    def interrupt(argv):
        raise KeyboardInterrupt

    verb(interrupt)
    assert main(["echo"]) == 130
    assert capsys.readouterr().err == "interrupted\n"
