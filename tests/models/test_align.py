"""The stage that brings clips near to their sentences: its loss by a slow version, and what it leaves behind."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch.nn import functional as F

from lit_llm.__main__ import main
from lit_llm.models import SignAligner
from lit_llm.models.align import _direction
from tests.test_sign_run import run_file


def slow(
    clips: torch.Tensor, sentences: torch.Tensor, real: list[int], scale: float, twins: set[tuple[int, int]]
) -> list[float]:
    losses = []
    for row in real:
        both = 0.0
        for mine, others in ((clips, sentences), (sentences, clips)):
            kept = [other for other in real if (row, other) not in twins]
            total = sum(math.exp(scale * float(mine[row] @ others[other])) for other in kept)
            both -= math.log(math.exp(scale * float(mine[row] @ others[row])) / total) / 2
        losses.append(both)
    return losses


def test_the_loss_is_symmetric_and_twins_are_no_wrong_answers() -> None:
    model = SignAligner()
    clips, sentences = (F.normalize(torch.randn(6, 8, dtype=torch.float64), dim=-1) for _ in range(2))
    sentences[3] = sentences[1]
    real = torch.tensor([True, True, True, True, True, False])
    model.double()
    found = model.contrast(clips, sentences, torch.arange(6), clips, sentences, real)
    expected = slow(clips, sentences, [0, 1, 2, 3, 4], math.exp(2.66), {(1, 3), (3, 1)})
    assert found.isfinite().all()
    torch.testing.assert_close(found[:5].double(), torch.tensor(expected, dtype=torch.float64), rtol=1e-5, atol=1e-6)


def test_parts_of_a_batch_give_the_losses_of_the_whole() -> None:
    model = SignAligner()
    clips, sentences = (F.normalize(torch.randn(6, 8), dim=-1) for _ in range(2))
    everyone = (clips, sentences, torch.ones(6).bool())
    whole = model.contrast(clips, sentences, torch.arange(6), *everyone)
    parts = [model.contrast(clips[p], sentences[p], torch.arange(6)[p], *everyone) for p in (slice(0, 4), slice(4, 6))]
    torch.testing.assert_close(torch.cat(parts), whole)


def test_the_same_sentence_is_known_again_in_half_precision() -> None:
    model = SignAligner()
    clips, sentences = (F.normalize(torch.randn(4, 1024), dim=-1) for _ in range(2))
    sentences[1] = sentences[0]
    given = (clips, sentences, torch.arange(4), clips, sentences, torch.ones(4).bool())
    with torch.autocast("cpu", torch.bfloat16):
        found = model.contrast(*given)
    torch.testing.assert_close(found, model.contrast(*given))


def test_padding_does_not_turn_a_direction() -> None:
    vectors = torch.randn(2, 4, 3)
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    torch.testing.assert_close(_direction(vectors, mask)[1], F.normalize(vectors[1, :2].mean(0), dim=-1))


@pytest.mark.slow
def test_the_adaptor_alone_learns_and_translation_starts_from_it(
    tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(run_file(tmp_path, root, "lora", "align"))
    config = yaml.safe_load(path.read_text())
    config["model"]["class_path"] = "lit_llm.models.SignAligner"
    del config["model"]["init_args"]["metrics"], config["data"]["init_args"]["changes"]
    config["model"]["init_args"]["adaptor_dropout"] = 0.0
    path.write_text(yaml.safe_dump(config))
    assert main(["fit", "--config", str(path)]) == 0
    adaptor = load_file(tmp_path / "align" / "adapter" / "adaptor.safetensors")
    checkpoint = torch.load(tmp_path / "align" / "last.ckpt", weights_only=True)
    assert {name.split(".")[0] for name in checkpoint["state_dict"]} == {"adaptor", "log_scale"}
    with (tmp_path / "align" / "metrics.csv").open() as file:
        assert {"val/retrieval", "val/loss"} <= {row["name"] for row in csv.DictReader(file)}
    second = run_file(tmp_path, root, "lora", "second")
    options = ["--model.adaptor_from", str(tmp_path / "align"), "--trainer.max_steps", "1"]
    # A step this small leaves the weights where the first stage left them.
    assert main(["fit", "--config", second, *options, "--model.adaptor_learning_rate", "1e-12"]) == 0
    started = load_file(tmp_path / "second" / "adapter" / "adaptor.safetensors")
    for name, weight in adaptor.items():
        torch.testing.assert_close(started[name], weight, rtol=0, atol=1e-8)
    # The run has an adaptor of its own from here on, whatever becomes of the first.
    gone = ["--model.adaptor_from", str(tmp_path / "gone")]
    assert main(["test", "--config", second, *gone]) == 0
    assert main(["fit", "--config", second, *gone, "--trainer.max_steps", "2", "--ckpt_path", "last"]) == 0
    assert main(["test", "--config", second, *gone, "--ckpt_path", "none"]) == 1
    assert "name a run, or its export" in capsys.readouterr().err
    capsys.readouterr()
    third = run_file(tmp_path, root, "lora", "third")
    for wrong, message in (
        (["--model.adaptor_from", str(tmp_path / "nowhere")], "name a run"),
        (["--model.adaptor_from", str(tmp_path / "align"), "--model.hidden", "24"], "has another shape"),
    ):
        assert main(["fit", "--config", third, *wrong]) == 1
        assert message in capsys.readouterr().err
