"""The memory of a run: what is planned without weights is what real tensors take, and what others have measured."""

import itertools

import pytest
import torch
from transformers import Qwen3Config

from lit_llm.__main__ import main
from lit_llm.adapters import DoRA, Full, LoRA, VeRA
from lit_llm.models import Loading
from lit_llm.models.base import adamw
from lit_llm.planning import Plan, changes, configuration, largest
from lit_llm.planning.known import names
from lit_llm.planning.memory import TIGHT
from lit_llm.planning.tracing import Step, held, make_network, trace, weigh
from lit_llm.quantization import NF4, Int8
from tests import families

GIB = 2**30

PUBLISHED = {
    "0.6B": (1394, 2066, 2963, 4755),
    "1.7B": (3412, 4213, 5109, 6902),
    "4B": (7973, 8860, 10012, 12317),
    "8B": (15947, 16811, 17963, 20267),
    "14B": (28402, 29495, 30775, 33336),
    "32B": (62751, 64583, 66632, 70728),
}
"""MiB of Qwen3 in bfloat16 on an H20, batch 1, with 1, 6,144, 14,336 and 30,720 tokens read and 2,048 written
(qwen.readthedocs.io, Speed Benchmark, transformers)."""

PARAMETERS = {
    "Qwen/Qwen3-0.6B": 596_049_920,
    "Qwen/Qwen3-4B": 4_022_468_096,
    "Qwen/Qwen3-8B": 8_190_735_360,
    "Qwen/Qwen3-14B": 14_768_307_200,
    "Qwen/Qwen3-32B": 32_762_123_264,
    "Qwen/Qwen2.5-7B": 7_615_616_512,
    "Qwen/Qwen2.5-0.5B": 494_032_768,
}


def plan(backbone="Qwen/Qwen3-0.6B", adapter=None, **fields):
    settings = {"quantizer": None, "precision": "bf16-mixed", "checkpointing": False, "batch": 2, "length": 128}
    return Plan(backbone, Loading(), adapter or LoRA(), adamw, **(settings | fields))


def small(layers=3):
    return Qwen3Config(
        hidden_size=64,
        intermediate_size=192,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        vocab_size=1000,
        tie_word_embeddings=True,
    )


EVERY = itertools.product(
    [LoRA(r=4), LoRA(r=4, dropout=0.1), DoRA(r=4), VeRA(r=8), Full()],
    [False, True],
    [None, torch.bfloat16, torch.float16],
    ["sdpa", "eager"],
)
OTHERS = {(DoRA, 0, torch.bfloat16, "sdpa"), (VeRA, 0, torch.bfloat16, "eager"), (LoRA, 0, torch.float16, "sdpa")}
QUICK = {(LoRA, 0.1, torch.bfloat16, "sdpa"), (Full, 0, torch.bfloat16, "sdpa"), (LoRA, 0, None, "eager")}


def ways():
    found = []
    for way in EVERY:
        adapter, checkpointing, autocast, attention = way
        kind = (type(adapter), getattr(adapter, "dropout", 0), autocast, attention)
        name = f"{type(adapter).__name__}-{attention}-{autocast}-{'kept' if not checkpointing else 'again'}"
        if kind in QUICK | OTHERS:
            # Of the quick ones that which is computed again says more.
            quick = kind == (LoRA, 0.1, torch.bfloat16, "sdpa") and checkpointing
            found.append(pytest.param(*way, id=name, marks=[] if quick else pytest.mark.slow))
    return found


@pytest.mark.parametrize(("adapter", "checkpointing", "autocast", "attention"), ways())
def test_tensors_without_numbers_take_what_real_ones_take(adapter, checkpointing, autocast, attention):
    dtype = torch.float32 if autocast is None or adapter.folder == "model" else autocast
    step = Step(small(), adapter, adamw, dtype, autocast, checkpointing, 3, 70, True, True, attention)
    network, model = make_network(step, 3, "cpu")
    assert trace(step, 3) == held(step, network, model)


@pytest.mark.parametrize("size", PUBLISHED)
def test_answering_takes_what_qwen_has_measured(size):
    asked = plan(f"Qwen/Qwen3-{size}", precision="bf16-true", merges=True)
    for tokens, measured in zip((1, 6144, 14336, 30720), PUBLISHED[size], strict=True):
        found = asked.answering(1, tokens + 2048)
        assert (found.total - found.context) / 2**20 == pytest.approx(measured, rel=0.03)


@pytest.mark.parametrize("name", names())
def test_shapes_that_are_known_have_the_published_number_of_weights(name):
    config = configuration(name, Loading())
    assert configuration(name + ("-Base" if "Qwen3" in name else "-Instruct"), Loading()).to_dict() == config.to_dict()
    if name in PARAMETERS:
        step = Step(config, LoRA(r=1), adamw, torch.bfloat16, None, False, 1, 8, False, False)
        two = weigh(step, 2).beyond(weigh(step, 1), config.num_hidden_layers - 2)
        assert two.frozen / 2 == pytest.approx(PARAMETERS[name], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("adapter", [LoRA(r=4), Full()], ids=lambda value: type(value).__name__)
def test_two_small_networks_tell_of_a_deep_one(tmp_path, adapter, checkpointing):
    small(9).save_pretrained(tmp_path)
    asked = plan(str(tmp_path), adapter, checkpointing=checkpointing)
    assert asked.memory().total == pytest.approx(asked.memory(exact=True).total, rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("adapter", [LoRA(), Full()], ids=lambda value: type(value).__name__)
def test_two_small_networks_tell_of_qwens(adapter):
    asked = plan("Qwen/Qwen3-4B", adapter, batch=4, length=512)
    assert asked.memory().total == pytest.approx(asked.memory(exact=True).total, rel=0.03)


@pytest.mark.slow
def test_a_hybrid_base_is_planned_by_its_period(tmp_path):
    kinds = ["linear_attention"] * 3 + ["full_attention"]
    families.config("qwen3_5", layer_types=kinds * 3, num_hidden_layers=12).save_pretrained(tmp_path)
    asked = plan(str(tmp_path))
    assert asked.memory().total == pytest.approx(asked.memory(exact=True).total, rel=0.03)


@pytest.mark.slow
def test_fewer_bits_and_states_count():
    plain = plan().memory()
    linear = weigh(Step(plan().config, LoRA(), adamw, torch.bfloat16, None, False, 1, 8, False, False), 28).linear
    for quantizer, bits in ((NF4(), 4.127), (NF4(double_quant=False), 4.5), (Int8(), 8.03)):
        stored = plan(quantizer=quantizer).memory()
        assert plain.weights - stored.weights == pytest.approx(linear * (1 - bits / 16), rel=1e-3)
        assert vars(stored).keys() == vars(plain).keys()
    assert plain.optimizer == pytest.approx(8 * plain.adapter / 4, rel=1e-4)
    assert plan(adapter=Full(), precision="bf16-true").memory().optimizer == pytest.approx(2 * 1.11 * GIB, rel=0.01)


@pytest.mark.parametrize(
    ("name", "bytes_each"), [("AdamW", 8), ("AdamW8bit", 2.03), ("PagedAdamW32bit", 8), ("Lion8bit", 1.016), ("SGD", 4)]
)
def test_the_state_of_bitsandbytes_is_that_of_its_bits_and_moments(tmp_path, name, bytes_each):
    bitsandbytes = pytest.importorskip("bitsandbytes")
    small(2).save_pretrained(tmp_path)
    kind = getattr(bitsandbytes.optim, name)
    options = {"momentum": 0.9} if name == "SGD" else {}
    asked = plan(str(tmp_path), precision="bf16-true").changed(optimizer=lambda p: kind(p, lr=1e-3, **options))
    assert asked.memory().optimizer == pytest.approx(bytes_each * asked._weights.count, rel=1e-3)


def test_keys_are_as_wide_as_weights_and_layers_keep_what_they_attend_to(tmp_path):
    full = plan(adapter=Full())
    assert full.answering(1, 1000).cache == pytest.approx(1.5 * plan().answering(1, 1000).cache)
    families.config("mistral", sliding_window=8).save_pretrained(tmp_path)
    windows = plan(str(tmp_path), precision="32-true")
    assert windows.answering(1, 8).cache == windows.answering(1, 800).cache


@pytest.mark.slow
@pytest.mark.parametrize("what", ["batch", "length"])
def test_the_largest_that_fits_fits_and_a_little_more_does_not(tmp_path, what):
    small(2).save_pretrained(tmp_path)
    asked = plan(str(tmp_path), checkpointing=True)
    room = 0.7 * GIB
    most = largest(asked, room, what)
    needs = [asked.changed(**{what: size}).memory().total / room for size in (most, most + max(1, most // 50))]
    assert needs[0] <= TIGHT < needs[1]
    assert largest(asked, 0.6 * GIB, what) == 0


@pytest.mark.slow
def test_changes_are_told_with_what_they_need(tmp_path):
    small(2).save_pretrained(tmp_path)
    asked = plan(str(tmp_path), batch=8, length=512)
    found = {change.setting.split(":")[0]: change.needs for change in changes(asked)}
    assert list(found.values()) == sorted(found.values())
    assert found.keys() == {
        "model.init_args.gradient_checkpointing",
        "model.init_args.quantizer",
        "data.init_args.batch_size",
        "data.init_args.max_length",
    }
    many = changes(asked.changed(accumulates=4))
    assert any("accumulate_grad_batches: 32" in change.setting for change in many)
    assert "model.init_args.adapter" in {c.setting.split(":")[0] for c in changes(asked.changed(adapter=Full()))}


@pytest.mark.slow
def test_a_run_file_is_planned_and_judged(root, capsys):
    file = str(root / "configs/run/extraction_tiny.yaml")
    assert main(["check", "--plan", file, "--data.batch_size", "4"]) == 0
    assert "batches of 4 rows" in capsys.readouterr().out
    assert main(["check", "--plan", file, "--data.max_length", "64", "--gpu", "650MiB"]) == 1
    out = capsys.readouterr().out
    assert "of 0.63 GiB: the training does not fit" in out
    assert "not one row" in out
    assert "gradient_checkpointing: true" in out


@pytest.mark.parametrize(
    ("run", "options", "said"),
    [
        ("extraction_tiny", ["--gpu", "16 elephants"], "is no size: write 16GiB"),
        ("extraction_tiny", ["--model.backbone", "nobody/has-this"], "nobody/has-this"),
        ("extraction_tiny_qat_int4", [], "quantization-aware training is not planned"),
        ("sign_tiny", [], "SignLM reads more than text"),
        ("extraction_tiny", ["--trainer.precision", "transformer-engine"], "transformer-engine is not planned"),
        ("extraction_tiny", ["--trainer.strategy", "fsdp"], "shares weights out"),
    ],
)
def test_what_cannot_be_planned_is_said(root, capsys, monkeypatch, run, options, said):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    try:
        status = main(["check", "--plan", str(root / f"configs/run/{run}.yaml"), *options])
    except SystemExit as stop:
        status = stop.code
    assert status
    assert said in capsys.readouterr().err


def test_experts_are_refused(root, tmp_path, capsys):
    families.config("qwen3_moe").save_pretrained(tmp_path)
    file = str(root / "configs/run/extraction_tiny.yaml")
    assert main(["check", "--plan", file, "--model.backbone", str(tmp_path)]) == 1
    assert "qwen3_moe has experts" in capsys.readouterr().err
