"""Classes of the user's own: found in the current folder, and their faults told with file and line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lit_llm.__main__ import main

FILES = {
    "needs_more.py": "import os\n\nimport no_such_library\n",
    "half_written.py": "class Words:\n    def compute(self:\n",
    "wrong_name.py": "from lit_llm.metrics import TextMetrik\n",
    "fails_deep.py": "import json\n\n\ndef read():\n    return json.loads('{')\n\n\nread()\n",
    "good_words.py": "from lit_llm.metrics import TextMetric\n\n\nclass Words(TextMetric):\n"
    "    def __init__(self, task: str = 'extraction') -> None:\n        super().__init__(task)\n"
    "    def update(self, *rows):\n        pass\n    def compute(self):\n        return {}\n",
    "half_done.py": "from lit_llm.metrics import TextMetric\n\n\nclass Words(TextMetric):\n    pass\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of own modules, from which the installed command runs: its search path lacks the current folder."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "run.yaml").write_text(yaml.safe_dump({"data": {"class_path": "lit_llm.data.ExtractionData"}}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        sys, "path", [str(tmp_path / "bin"), *(path for path in sys.path if path not in ("", str(tmp_path)))]
    )
    yield tmp_path
    for name in FILES:
        sys.modules.pop(name.removesuffix(".py"), None)


def run(monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    """Run ``lit-llm fit``, as its script does."""
    monkeypatch.setattr(sys, "argv", ["lit-llm", "fit", "--config", "run.yaml", *options])
    try:
        return main()
    except SystemExit as stop:
        return int(stop.code or 0)


@pytest.mark.parametrize(
    ("part", "path", "told"),
    [
        ("metrics", "needs_more.Words", "ModuleNotFoundError: No module named 'no_such_library' (needs_more.py:3)"),
        ("metrics", "wrong_name.Words", "cannot import name 'TextMetrik' from 'lit_llm.metrics'"),
        ("adapter", "half_written.Words", "(half_written.py:2)"),
        ("generator", "fails_deep.Words", "(fails_deep.py:5)"),
        ("optimizer", "needs_more.Words", "(needs_more.py:3)"),
        ("metrics", "half_done.Words", "half_done.Words is not complete: it lacks compute, update"),
        ("adapter", "good_word.Words", "did you mean good_words?"),
        ("metrics", "good_words.Wrods", "there is no class good_words.Wrods; did you mean good_words.Words?"),
    ],
)
def test_why_an_own_class_cannot_be_had(
    part: str, path: str, told: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    value = {"class_path": path}
    model = {"class_path": "lit_llm.models.CausalLM", "init_args": {part: [value] if part == "metrics" else value}}
    (folder / "own.yaml").write_text(yaml.safe_dump({"model": model}))
    assert run(monkeypatch, "--config", "own.yaml") == 1
    said = capsys.readouterr().err
    assert told in said
    assert "own.yaml:" in said


def test_the_installed_command_finds_classes_of_the_current_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = {"class_path": "lit_llm.models.CausalLM", "init_args": {"metrics": [{"class_path": "good_words.Words"}]}}
    (folder / "own.yaml").write_text(yaml.safe_dump({"model": model}))
    assert run(monkeypatch, "--config", "own.yaml", "--print_config") == 0
    assert "class_path: good_words.Words" in capsys.readouterr().out
