"""What README.md and docs/ say is so: commands run, links lead somewhere, names are those of the code."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from lit_llm.__main__ import VERBS, main

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
DEMO = "configs/run/extraction_tiny.yaml"
TARGETS = {"demo", "test", "test-slow", "lint"}

Started = tuple[object, str, str]
Run = Callable[..., Started]


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", read(page), re.DOTALL | re.MULTILINE)


def commands(page: str) -> list[str]:
    """Return the commands of the fenced bash blocks; a function definition is none."""
    lines = "\n".join(blocks(page, "bash")).replace("\\\n", " ").splitlines()
    return [line for line in lines if re.match(r"make |\S*python -m lit_llm ", line)]


def pages_with(language: str) -> list[str]:
    names = [str(page.relative_to(ROOT)) for page in PAGES if page.name != "CONTRIBUTING.md"]
    return [name for name in names if blocks(name, language)]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a verb in this process, as from the root of the project; return its status, output and errors."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["lit_llm"])
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")

    def start(*arguments: str) -> Started:
        status: object = None
        try:
            status = main(arguments)
        except SystemExit as stop:
            status = stop.code
        return status, *capsys.readouterr()

    return start


@pytest.fixture(scope="module")
def printed() -> list[str]:
    """What the demo prints as its configuration, once it has been asked for."""
    return []


@pytest.fixture
def plain(run: Run, printed: list[str]) -> str:
    """The configuration of the demo as it is printed."""
    if not printed:
        printed.append(run("fit", "--config", DEMO, "--print_config")[1])
    return printed[0]


def make(target: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)


def test_readme_has_no_other_commands():
    lines = [line for block in blocks("README.md", "bash") for line in block.splitlines()]
    assert lines == commands("README.md")
    assert {"make demo", "make test"} <= set(lines)


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_a_make_target_is_there(target: str):
    done = make(target)
    assert done.returncode == 0, done.stderr
    wanted = {"demo": "scripts/demo.sh", "test": "pytest", "test-slow": 'pytest -m "slow', "lint": "mypy"}[target]
    assert wanted in done.stdout


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_no_other_make_target_is_named(page: str):
    assert set(re.findall(r"\bmake ([a-z][a-z-]*)\b", read(page))) <= TARGETS


def test_the_help_command_of_readme():
    arguments = next(shlex.split(line) for line in commands("README.md") if line.endswith("--help"))
    assert arguments[0] == ".venv/bin/python"
    done = subprocess.run([sys.executable, *arguments[1:]], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert all(f"  {verb} " in done.stdout for verb in VERBS)


def test_the_check_command_of_readme(run: Run):
    arguments = next(shlex.split(line) for line in commands("README.md") if " check " in line)
    status, out, _ = run(*arguments[3:])
    assert status == 0, out
    assert "checkpoints/qwen3-tiny is supported" in out


@pytest.mark.parametrize("page", pages_with("bash"))
def test_a_command_of_the_pages_is_accepted(page: str, run: Run):
    for line in commands(page):
        arguments = shlex.split(line)
        if arguments[0] == "make" or arguments[3] == "--help":
            continue
        verb, *options = arguments[3:]
        assert verb in VERBS, line
        # The guide of a task goes on with its own run, and has a test that does so.
        own_run = any(re.match(r"checkpoints/.*config\.yaml|orders/run\.yaml", option) for option in options)
        if verb in ("fit", "validate", "test", "predict") and not own_run:
            asks = any(option == "--print_config" or ".help" in option for option in options)
            status, out, err = run(verb, *options, *([] if asks else ["--print_config"]))
            assert status == 0, (line, err)
            assert out, line


@pytest.mark.parametrize("page", pages_with("yaml"))
def test_a_yaml_block_changes_the_demo(page: str, run: Run, plain: str, tmp_path: Path):
    for number, block in enumerate(blocks(page, "yaml")):
        file = tmp_path / f"{number}.yaml"
        file.write_text(block, encoding="utf-8")
        status, out, err = run("fit", "--config", DEMO, "--config", str(file), "--print_config")
        assert status == 0, (block, err)
        assert out != plain, block


def test_appending_to_a_list_keeps_what_is_there(run: Run, tmp_path: Path):
    block = next(block for block in blocks("docs/cli.md", "yaml") if "callbacks+" in block)
    (tmp_path / "stop.yaml").write_text(block, encoding="utf-8")
    out = run("fit", "--config", DEMO, "--config", str(tmp_path / "stop.yaml"), "--print_config")[1]
    kinds = [callback["class_path"].rpartition(".")[2] for callback in yaml.safe_load(out)["trainer"]["callbacks"]]
    assert {"LabelAudit", "SampleTable", "ClipFigures"} <= set(kinds)
    assert kinds[-1] == "EarlyStopping"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_leads_somewhere(page: Path):
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    inner = [target for target in targets if "://" not in target]
    assert [target for target in inner if not (page.parent / target).exists()] == []


def test_the_map_is_of_this_project():
    listed = re.findall(r"^\s*(\S+)  ? *\w", "\n".join(blocks("README.md", "text")), re.MULTILINE)
    assert [place for place in listed if not (ROOT / place).exists()] == []
    package = {f"lit_llm/{path.name}" for path in (ROOT / "lit_llm").iterdir() if path.suffix == ".py"}
    rooms = {f"lit_llm/{path.parent.name}/" for path in (ROOT / "lit_llm").glob("*/*.py")}
    configs = {f"configs/{path.name}/" for path in (ROOT / "configs").iterdir() if path.is_dir()}
    assert (package - {"lit_llm/__init__.py"}) | rooms | configs <= set(listed)


def test_the_pages_are_all_linked():
    linked = set(re.findall(r"\]\((docs/\w+\.md)\)", read("README.md")))
    assert {str(page.relative_to(ROOT)) for page in PAGES[2:]} <= linked


def test_the_verbs_are_those_of_the_code():
    listed = re.findall(r"^\| `(\w+)` \| ", read("docs/cli.md"), re.MULTILINE)
    assert [verb for verb in listed if verb in VERBS] == list(VERBS)


def test_the_columns_are_those_of_the_code():
    from lit_llm.callbacks.prediction_file import COLUMNS

    assert re.findall(r"^\| `(\w+)` \| ", read("docs/predict.md"), re.MULTILINE) == list(COLUMNS)
    assert f"`{','.join(COLUMNS)}`" in read("docs/predict.md")


def test_the_metrics_are_those_of_the_code():
    from lit_llm.metrics import ExtractionMetrics

    metric = ExtractionMetrics()
    metric.update(["{}"], [{"a": 1}], [{"schema": {}}])
    assert set(re.findall(r"^\| `(\w+)` \| ", read("docs/evaluation.md"), re.MULTILINE)) == set(metric.compute())


def test_the_example_of_a_metric(capsys: pytest.CaptureFixture[str]):
    (block,) = blocks("docs/evaluation.md", "python")
    exec(compile(block, "docs/evaluation.md", "exec"), {})
    first, *table = capsys.readouterr().out.splitlines()
    # One of two fields agrees, the other is missing and superfluous at once.
    assert float(first) == 0.5
    assert any("items[].prod" in line for line in table)


def test_the_strategies_are_those_of_the_code():
    from lit_llm.data.variants.augmentation import STRATEGIES

    rows = re.findall(r"^\| `(\w+)` \| ", read("docs/data.md"), re.MULTILINE)
    assert [row for row in rows if row in STRATEGIES] == list(STRATEGIES)


def test_the_adapters_are_those_of_the_code():
    from lit_llm import adapters

    classes = [value for value in vars(adapters).values() if isinstance(value, type)]
    kinds = {kind.__name__ for kind in classes if issubclass(kind, adapters.Adapter)} - {"Adapter"}
    assert set(re.findall(r"^\| `lit_llm\.adapters\.(\w+)` ", read("docs/training.md"), re.MULTILINE)) == kinds


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["lit-llm", "fi"], "fit"),
        (["lit-llm", "check", "--back"], "--backbone"),
        (["lit-llm", "fit", "READ"], "README.md"),
    ],
)
def test_tab_completion(words: list[str], wanted: str, tmp_path: Path):
    script = f"""
        lit-llm() {{ {shlex.quote(sys.executable)} -m lit_llm "$@"; }}
        {next(block for block in blocks("docs/cli.md", "bash") if "complete -o" in block)}
        COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}
        _lit_llm; echo "${{COMPREPLY[@]}}"
    """
    environment = {"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split() == [wanted], done.stderr


def test_an_extra_is_installed_from_this_folder():
    extras = set(re.findall(r"^([a-z]+) = \[", read("pyproject.toml").partition("optional-dependencies]")[2], re.M))
    named = {
        str(path.relative_to(ROOT)): re.findall(r"pip install ([^`\n]*?)\[(\w+)\]", path.read_text(encoding="utf-8"))
        for path in [*PAGES, *(ROOT / "lit_llm").rglob("*.py"), *(ROOT / "configs").rglob("*.yaml")]
    }
    found = {(place, extra) for pairs in named.values() for place, extra in pairs}
    assert {place for place, _ in found} == {"-e '."}
    assert {extra for _, extra in found} <= extras


def test_the_commands_for_own_data_are_those_that_init_prints(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    rows = [f'{i};Mándame {i} kilos de {food};"{{""kilos"": {i}}}"' for food in ("pan", "sal") for i in range(1, 21)]
    (tmp_path / "orders.csv").write_text("\n".join(["folio;mensaje;salida", *rows]), encoding="utf-8")
    first, *following = (shlex.split(line)[3:] for line in commands("README.md") if "orders" in line)
    status, out, err = run(*first, "--no-measure", "--backbone", str(ROOT / "checkpoints/qwen3-tiny"))
    assert status == 0, err
    assert [words[0] for words in following] == ["fit", "test", "report", "ask"]
    for words in following:
        assert " ".join(words[:3]) in out
    assert run("fit", "--config", "orders/run.yaml", "--print_config")[0] == 0
