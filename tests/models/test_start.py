"""What happens when training starts: batches that an adapter starts from, and what is said of routers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import MixtralConfig

from lit_llm.adapters import LoRA
from lit_llm.errors import ConfigError
from lit_llm.models.start import say_router_loss
from tests import recording, short_runs


@pytest.mark.parametrize(("wanted", "seen"), [(11, 11), (30, 12)])
def test_eva_looks_at_as_many_batches_as_it_is_told(
    wanted: int,
    seen: int,
    tmp_path: Path,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(recording.CountingLoRA, "seen", [])
    rows = [{"text": f"dame {k} panes y {k * 7} tortas", "json": {"n": k}} for k in range(24)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    adapter = {
        "class_path": "tests.recording.CountingLoRA",
        "init_args": {"r": 2, "init": "eva", "eva_batches": wanted, "target_modules": ["v_proj"]},
    }
    data = {"train": str(tmp_path / "rows.jsonl"), "batch_size": 2}
    base = str(root / "checkpoints/qwen3-tiny")
    short_runs.fit(tmp_path / "run", data, 1, backbone=base, adapter=adapter)
    assert recording.CountingLoRA.seen == [seen]
    assert (f"all {seen} training batches, which are fewer than {wanted}" in caplog.text) == (seen < wanted)


def test_eva_needs_a_batch() -> None:
    with pytest.raises(ConfigError, match=r"adapter\.eva_batches: .* at least, got 0"):
        LoRA(init="eva", eva_batches=0)


@pytest.mark.parametrize(("asked", "share", "said"), [(True, 0.02, True), (False, 0.02, False), (True, 0.0, False)])
def test_a_base_that_asks_for_a_loss_of_its_routers_is_told(
    asked: bool, share: float, said: bool, caplog: pytest.LogCaptureFixture
) -> None:
    say_router_loss(MixtralConfig(output_router_logits=asked, router_aux_loss_coef=share))
    assert ("(router_aux_loss_coef: 0.02); it is left out" in caplog.text) == said
