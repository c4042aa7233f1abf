"""Bases with linear-attention layers and experts: opened from what is published, and trained row by row."""

from __future__ import annotations

import importlib.machinery
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from lit_llm.batch import IGNORE, Batch
from lit_llm.errors import ConfigError
from lit_llm.models import CausalLM, Loading
from lit_llm.models.backbone import open_model, open_tokenizer
from lit_llm.quantization import QAT
from tests import families

LENGTHS = [67, 3, 1, 64, 9, 17, 40, 5]


def batch(rows: list[list[int]]) -> Batch:
    """Return rows padded on the right, whose second halves are learned."""
    width = max(map(len, rows))
    ids, labels, mask = torch.full((len(rows), width), 998), torch.full((len(rows), width), IGNORE), []
    for at, row in enumerate(rows):
        ids[at, : len(row)] = torch.tensor(row)
        labels[at, len(row) // 2 : len(row)] = torch.tensor(row[len(row) // 2 :])
        mask.append([1] * len(row) + [0] * (width - len(row)))
    return Batch(["x"] * len(rows), "train", "text", torch.tensor(mask), labels, ids)


def gradients(model: CausalLM, rows: list[list[int]], size: int) -> torch.Tensor:
    assert model.network is not None
    model.network.zero_grad()
    for start in range(0, len(rows), size):
        model.summed_loss(batch(rows[start : start + size]))[0].backward()
    return torch.cat(
        [weight.grad.flatten().double() for weight in model.network.parameters() if weight.grad is not None]
    )


# The layers compute their states in float32 whatever is asked, hence no less than 1e-7.
@pytest.mark.parametrize(
    ("family", "dtype", "tolerance"),
    [("qwen3_5", torch.float64, 1e-6), ("qwen3_next", torch.float64, 1e-6), ("qwen3_5_moe", torch.float32, 1e-4)],
)
def test_gradients_do_not_depend_on_the_batch(
    family: str, dtype: torch.dtype, tolerance: float, tmp_path: Path
) -> None:
    rows = [torch.randint(0, 990, (length,)).tolist() for length in LENGTHS]
    model = CausalLM()
    model.network = open_model(str(families.folder(tmp_path / "base", family)), Loading(), dtype)
    whole = gradients(model, rows, 8)
    assert whole.norm() > 0
    for size in (4, 1):
        assert (gradients(model, rows, size) - whole).norm() / whole.norm() < tolerance


def sees(path: Path, family: str, kind: str) -> tuple[Path, torch.nn.Module]:
    """Write a base that takes images too, as these models are published, and return it."""
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 32}
    tokens = {name: 990 + at for at, name in enumerate(("image_token_id", "video_token_id", "vision_start_token_id"))}
    text = families.config(family, initializer_range=0.2).to_dict()
    settings = {"text_config": text, "vision_config": vision, "tie_word_embeddings": True, "vision_end_token_id": 993}
    config = getattr(transformers, f"{kind}Config")(**settings, **tokens)
    model = getattr(transformers, f"{kind}ForConditionalGeneration")(config).eval()
    model.save_pretrained(path)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(families.TINY / name, path / name)
    return path, model


@pytest.mark.parametrize(("family", "kind"), [("qwen3_5", "Qwen3_5"), ("qwen3_5_moe", "Qwen3_5Moe")])
def test_of_a_base_that_sees_images_the_language_model_is_opened(family: str, kind: str, tmp_path: Path) -> None:
    folder, whole = sees(tmp_path / "base", family, kind)
    ids = torch.tensor([open_tokenizer(str(folder), Loading())("dos panes y 15 peras")["input_ids"]])
    opened = open_model(str(folder), Loading(), torch.float32).eval()
    assert type(opened).__name__ == f"{kind}ForCausalLM"
    with torch.no_grad():
        assert torch.equal(opened(input_ids=ids).logits, whole(input_ids=ids).logits)
    deeper = Loading(random_init=True, config_overrides={"num_hidden_layers": 6})
    kinds = open_model(str(folder), deeper, torch.float32).config.layer_types
    assert kinds == [*["linear_attention"] * 3, "full_attention", *["linear_attention"] * 2]
    shallow = Loading(random_init=True, config_overrides={"num_hidden_layers": 3})
    with pytest.raises(ConfigError, match=r"num_hidden_layers: 3 leaves \['linear_attention'\] alone.*at least 4"):
        open_model(str(folder), shallow, torch.float32)


@pytest.mark.parametrize("family", ["qwen3_next", "qwen3_moe"])
def test_rounding_that_leaves_experts_out_is_refused(family: str) -> None:
    with pytest.raises(ConfigError, match=rf"model.init_args.qat: {family} keeps its experts .*gate_up_proj.*nf4"):
        QAT(group_size=None).plan(families.build(family))


def test_rounding_reaches_linear_attention() -> None:
    plan = QAT(group_size=16).plan(families.build("qwen3_5"))
    kinds = {name.rpartition(".")[2] for name in plan if ".layers.0.linear_attn." in name}
    assert kinds == {"in_proj_qkv", "in_proj_z", "in_proj_a", "in_proj_b", "out_proj"}


def kernel(states: torch.Tensor, *args: Any, **kwargs: Any) -> None:
    """Stand for a kernel, of which there is none on a CPU."""
    raise ValueError(f"cannot be accessed from Triton ({states.device} tensor?)")


def test_kernels_for_gpus_are_left_alone_on_a_cpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from transformers.integrations.hub_kernels import use_kernel_func_from_hub_with_fallback as chosen
    from transformers.models.qwen3_5 import modeling_qwen3_5 as family

    base, ids = str(families.folder(tmp_path / "base", "qwen3_5")), torch.tensor([[5, 6, 7, 8]])
    opened = open_model(base, Loading(), torch.float32).eval()
    with torch.no_grad():
        expected = opened(input_ids=ids).logits
    modules = {"fla": ("chunk_gated_delta_rule",), "causal_conv1d": ("causal_conv1d_fn", "causal_conv1d_update")}
    for package, names in modules.items():
        stub: Any = types.ModuleType(package)
        stub.__spec__ = importlib.machinery.ModuleSpec(package, None)
        monkeypatch.setitem(sys.modules, package, stub)
        holder = stub
        if package == "fla":
            stub.ops = types.SimpleNamespace(gated_delta_rule=(holder := types.SimpleNamespace()))
        for name in names:
            setattr(holder, name, kernel)
            own = name if hasattr(family, name) else f"torch_{name}"
            plain = getattr(family, own).__wrapped__
            monkeypatch.setattr(family, own, chosen(name, package)(plain))
    with pytest.raises(ValueError, match="cpu tensor"):
        opened(input_ids=ids)
    with torch.no_grad():
        assert torch.equal(open_model(base, Loading(), torch.float32).eval()(input_ids=ids).logits, expected)
