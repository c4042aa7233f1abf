"""What ``check`` says of bases that work, that are refused, and that would go wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from lit_llm.__main__ import main
from lit_llm.conformance import Finding, answering, passes
from lit_llm.conformance.bench import Bench
from lit_llm.conformance.findings import WrongError, tried
from lit_llm.errors import UserError
from lit_llm.models import Loading
from tests import families


def check(*options: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, str], str]:
    """Return the exit status, the result of each check, and all that was printed."""
    status = main(["check", "--backbone", *options])
    shown = capsys.readouterr()
    lines = [line for line in shown.out.splitlines() if line[16:24].strip() in ("ok", "refused", "FAILS")]
    return status, {line[:16].strip(): line[16:24].strip() for line in lines}, shown.out + shown.err


def test_the_embedded_base_passes(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, found, said = check(str(root / "checkpoints/qwen3-tiny"), capsys=capsys)
    assert status == 0 and "is supported" in said
    assert set(found.values()) == {"ok"}
    assert {"tokenizer", "end token", "date", "thinking", "loss", "sampled batches", "LoRA", "Full"} <= set(found)


@pytest.mark.parametrize("family", ["llama", "gemma3", "granitemoe"])
def test_other_families_pass_with_what_each_adapter_reaches(
    family: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, found, said = check(str(families.folder(tmp_path, family, num_hidden_layers=1)), capsys=capsys)
    assert status == 0, said
    assert found["LoRA"] == found["VeRA"] == "ok"
    assert ("times 0.25" in said) == (family == "granitemoe")
    said = " ".join(said.split())
    assert ("experts 100%" in said and "VeRA reaches linear layers alone" in said) == (family == "granitemoe")


@pytest.mark.parametrize(
    ("family", "check_name", "reason"),
    [
        ("minicpm3", "loss", "not given the decoder's last hidden states"),
        ("mamba", "layers", "of dt_proj itself"),
    ],
)
def test_what_is_not_supported_fails_with_its_name(
    family: str, check_name: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = families.folder(tmp_path, family)
    status, found, said = check(str(folder), "--attn_implementation", "eager", capsys=capsys)
    assert status == 1 and f"is not supported: {check_name}\n" in said
    assert found[check_name] == "FAILS" and found["batches"] == "ok"
    assert reason in " ".join(said.split())


def test_a_template_that_cannot_be_used_ends_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = families.folder(tmp_path, "qwen3", num_hidden_layers=1)
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor")
    status, found, said = check(str(folder), capsys=capsys)
    assert status == 1 and found["chat template"] == "FAILS" and "loss" not in found
    assert "chat_template.jinja" in "".join(said.split())


@pytest.mark.parametrize(
    ("family", "options", "remedy"),
    [
        ("gemma2", [], "attn_implementation: 'sdpa' does not go with .* use eager"),
        ("qwen3", ["--attn_implementation", "flash_attention_2"], "not installed here; use sdpa"),
        ("llama", ["--attn_implementation", "flash"], "one of sdpa, eager and flash_attention_2"),
        ("t5", [], "is no causal language model but 't5'"),
    ],
)
def test_a_kind_that_cannot_be_opened_has_its_own_remedy(
    family: str, options: list[str], remedy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import re

    status, _, said = check(str(families.folder(tmp_path, family)), *options, capsys=capsys)
    assert status == 1 and re.search(remedy, " ".join(said.split())), said
    assert "the folder must hold" not in said and "Traceback" not in said


@pytest.mark.parametrize(("named", "said_of_it"), [("qwen9", "model_type 'qwen9'"), (None, "no model_type")])
def test_a_model_of_a_later_transformers_is_told_so(
    named: str | None, said_of_it: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = families.folder(tmp_path, "qwen3", num_hidden_layers=1)
    config = json.loads((folder / "config.json").read_text())
    config.pop("model_type")
    config.pop("architectures")
    (folder / "config.json").write_text(json.dumps(config | ({"model_type": named} if named else {})))
    status, _, said = check(str(folder), capsys=capsys)
    assert status == 1 and said_of_it in said and "install a later transformers" in said


@pytest.fixture
def bench(tmp_path: Path) -> Any:
    with Bench(str(families.folder(tmp_path, "qwen3", num_hidden_layers=1)), Loading()) as opened:
        yield opened


def test_answers_that_depend_on_the_batch_are_found(bench: Bench) -> None:
    answering.batches(bench)
    layer = bench.model.model.layers[0].mlp
    plain = layer.forward
    # Each row sees the others, as padding that is not masked would let it.
    layer.forward = lambda states: plain(states) + states.mean(0, keepdim=True) * (len(states) > 1)
    with pytest.raises(WrongError, match="is answered otherwise in a batch"):
        answering.batches(bench)


def test_gradients_that_depend_on_padding_are_found(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "in float64" in passes.gradients(bench)
    opened = Bench.trainable

    def leaking(self: Bench, **settings: Any) -> Any:
        module = opened(self, **settings)
        hidden = module.hidden
        module.hidden = lambda batch: hidden(batch) + hidden(batch).mean(1, keepdim=True)
        return module

    monkeypatch.setattr(Bench, "trainable", leaking)
    with pytest.raises(WrongError, match="gradients of one step differ"):
        passes.gradients(bench)


def test_another_loss_is_found(bench: Bench) -> None:
    passes.loss(bench)
    head: Any = bench.model.lm_head
    plain = bench.model.forward

    def doubled(*args: Any, **inputs: Any) -> Any:
        answer = plain(*args, **inputs)
        answer.logits = torch.sinh(answer.logits)
        return answer

    bench.model.forward = doubled
    assert tried("loss", lambda: passes.loss(bench), needed=True).state == "FAILS"
    assert head is bench.model.get_output_embeddings()


@pytest.mark.parametrize(
    ("error", "needed", "finding"),
    [
        (UserError("GGUF: no such"), False, Finding("GGUF", "refused", "GGUF: no such")),
        (UserError("GGUF: no such"), True, Finding("GGUF", "FAILS", "GGUF: no such")),
        (WrongError("off"), False, Finding("GGUF", "FAILS", "off; use export --merged")),
        (KeyError("x"), False, Finding("GGUF", "FAILS", "KeyError: 'x'; use export --merged")),
    ],
)
def test_what_is_refused_is_no_failure_unless_it_is_needed(error: Exception, needed: bool, finding: Finding) -> None:
    def part() -> str:
        raise error

    assert tried("GGUF", part, needed=needed) == finding
