"""CLaRa's model: which weights learn in each stage, from which loss, whatever stands beside a row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer

from lit_llm.adapters import DoRA, Full, LoRA
from lit_llm.adapters.together import active, adapter_parameters
from lit_llm.batch import Batch
from lit_llm.data import DocumentsData
from lit_llm.errors import ConfigError
from lit_llm.generation import Generator
from lit_llm.models import ClaraLM, Loading
from lit_llm.quantization import NF4, QAT
from tests.clara_rows import BASE, among, single, write

SMALL = {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 128, "head_dim": 16, "initializer_range": 0.25}


def model(**settings: Any) -> ClaraLM:
    """Return a small model whose adapters all change something."""
    settings = {"adapter": LoRA(r=4), "rate": 4, "passage_tokens": 16} | settings
    built = ClaraLM(backbone=BASE, loading=Loading(random_init=True, config_overrides=SMALL), **settings)
    built.configure_model()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _, parameters in adapter_parameters(built.network):
            for weight in parameters:
                weight.add_(torch.randn(weight.shape, generator=generator) * 0.05)
    return built


def batch(built: ClaraLM, tmp_path: Any, rows: list[dict[str, Any]], **settings: Any) -> Batch:
    """Return rows as one training batch of this model."""
    data = DocumentsData(train=write(tmp_path / "rows.jsonl", rows), batch_size=len(rows), **settings)
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.strategy._lightning_module = built
    data.trainer = trainer
    data.setup("fit")
    return next(iter(data.train_dataloader()))


def summed(built: ClaraLM, given: Batch) -> torch.Tensor:
    """Return the loss of a batch before it is divided by target tokens."""
    logged: list[Any] = []
    built.log = lambda *args, **kwargs: logged.append(args)  # type: ignore[method-assign]
    return built.training_step(given, 0)


def gradients(built: ClaraLM) -> dict[str, torch.Tensor]:
    return {name: weight.grad for name, weight in built.named_parameters() if weight.grad is not None}


def of_part(found: dict[str, torch.Tensor], part: str) -> list[torch.Tensor]:
    return [gradient for name, gradient in found.items() if f".{part}." in name or name == part]


def test_compressor_generator_and_memory_learn_first(tmp_path):
    built = model()
    summed(built, batch(built, tmp_path, single(4, 0))).backward()
    found = gradients(built)
    for part in ("compressor", "generator", "memory"):
        assert of_part(found, part) and all(gradient.abs().sum() > 0 for gradient in of_part(found, part)), part
    assert len(found) == len(of_part(found, "compressor")) + len(of_part(found, "generator")) + 1


def test_reasoner_and_generator_learn_last(tmp_path):
    built = model(stage="end_to_end")
    summed(built, batch(built, tmp_path, among(4, 4, 0), reads=2)).backward()
    found = gradients(built)
    assert {name.split(".")[-2] for name in found} == {"reasoner", "generator"}
    assert all(gradient.abs().sum() > 0 for gradient in found.values())


def test_the_reasoner_learns_through_the_choice_alone(tmp_path, monkeypatch):
    from lit_llm.models import choosing

    true = choosing.straight_through
    monkeypatch.setattr(choosing, "straight_through", lambda *args: true(*args).detach())
    built = model(stage="end_to_end")
    summed(built, batch(built, tmp_path, among(4, 4, 0), reads=2)).backward()
    assert {name.split(".")[-2] for name in gradients(built)} == {"generator"}


@pytest.mark.parametrize("part", ["compressor.weight", "generator.weight", "memory"])
def test_gradients_are_those_of_finite_differences(tmp_path, part):
    built = model().double().train()
    given = batch(built, tmp_path, single(3, 0) + among(2, 3, 1))
    summed(built, given).backward()
    name, weight = next((n, w) for n, w in built.named_parameters() if n.endswith(part) and "lora_B" in n + "lora_B")
    place = int(weight.grad.abs().flatten().argmax())
    values = []
    # Norms compute in float32 whatever surrounds them, so that a smaller step would drown in rounding.
    for step in (3e-3, -3e-3):
        with torch.no_grad():
            weight.view(-1)[place] += step
        values.append(summed(built, given).item())
        with torch.no_grad():
            weight.view(-1)[place] -= step
    assert (values[0] - values[1]) / 6e-3 == pytest.approx(float(weight.grad.flatten()[place]), rel=1e-2), name


@pytest.mark.parametrize("how", [True, 0.5, "selective"])
@pytest.mark.parametrize("stage", ["compress", "end_to_end"])
def test_layers_compute_again_under_the_adapter_that_computed_before(tmp_path, stage, how):
    found = []
    for checkpointing in (False, how):
        built = model(stage=stage, gradient_checkpointing=checkpointing).train()
        settings = {"reads": 2} if stage == "end_to_end" else {}
        given = batch(built, tmp_path, among(4, 3, 0), **settings)
        summed(built, given).backward()
        found.append(gradients(built))
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-5, atol=1e-6)


def test_neither_cut_nor_padding_nor_neighbours_change_the_gradient(tmp_path):
    rows = single(3, 0) + among(3, 3, 1)
    # One passage is shorter than the others.
    rows[0]["docs"] = ["pan sal"]
    whole, parts = model().double(), model().double()
    summed(whole, batch(whole, tmp_path, rows)).backward()
    for row in rows:
        summed(parts, batch(parts, tmp_path, [row])).backward()
    for name, gradient in gradients(whole).items():
        torch.testing.assert_close(gradients(parts)[name], gradient, rtol=1e-9, atol=1e-10)


def test_passages_that_do_not_change_are_the_same_to_the_bit_whatever_stands_beside_them():
    built = model().eval()
    ids = torch.randint(5, 900, (21, 150), generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([1 + 7 * k for k in range(21)])
    mask = (torch.arange(150) < lengths[:, None]).long()
    whole = built.compress_frozen(ids, mask)
    for row in (0, 9, 20):
        alone = built.compress_frozen(ids[row : row + 1, : lengths[row]], mask[row : row + 1, : lengths[row]])
        assert alone[0].equal(whole[row])
    plain = built.compress(ids, mask)[0]
    torch.testing.assert_close(plain, whole, rtol=1e-4, atol=1e-5)


def test_a_vector_is_the_last_state_of_a_memory_behind_the_text():
    built = model().eval()
    ids = torch.tensor([[5, 6, 7]])
    words = built.language_model.get_input_embeddings()(ids)
    embeds = torch.cat([words, built.memory[None]], dim=1)
    with torch.no_grad(), active(built.network, "compressor"):
        states = built.language_model(inputs_embeds=embeds, output_hidden_states=True).hidden_states[-1]
    vectors, gap = built.compress(torch.tensor([[5, 6, 7, 0, 0]]), torch.tensor([[1, 1, 1, 0, 0]]))
    torch.testing.assert_close(vectors, states[:, 3:], rtol=1e-4, atol=1e-5)
    expected = (states[:, :3].mean(1) - states[:, 3:].mean(1)).pow(2).mean(-1)
    torch.testing.assert_close(gap, expected, rtol=1e-4, atol=1e-6)


def test_what_does_not_learn_is_not_disturbed_by_dropout():
    built = model(stage="end_to_end", adapter=LoRA(r=4, dropout=0.5))
    ids, mask = torch.tensor([[5, 6, 7]]), torch.ones(1, 3, dtype=torch.long)
    for switched in (built, built.eval().train()):
        assert switched.compress(ids, mask)[0].equal(switched.compress(ids, mask)[0])
    assert not built.compress(ids, mask, "reasoner")[0].equal(built.compress(ids, mask, "reasoner")[0])
    built = model(adapter=LoRA(r=4, dropout=0.5)).train()
    assert not built.compress(ids, mask)[0].equal(built.compress(ids, mask)[0])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rate": 17}, "rate is 17, and passage_tokens 16"),
        ({"rate": 0}, "rate is 0"),
        ({"temperature": 0.0}, "temperature is 0"),
        ({"gap_weight": -1.0}, "gap_weight is -1"),
        ({"merge": True}, "merge: "),
        ({"compile": True}, "compile: "),
        ({"qat": QAT()}, "qat: "),
        ({"compressor": Full()}, "compressor: Full"),
        ({"adapter": LoRA(init="olora")}, "adapter: LoRA olora"),
        ({"reasoner": LoRA(bias="all")}, "reasoner.bias"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_opened(settings, said):
    with pytest.raises(ConfigError, match=rf"model\.init_args\.{said}"):
        ClaraLM(backbone=BASE, **{"rate": 4, "passage_tokens": 16} | settings)


def test_an_adapter_cannot_be_merged():
    with pytest.raises(ConfigError, match="share one backbone"):
        model().merge_adapter()


@pytest.mark.parametrize("quantizer", [None, NF4()])
def test_other_adapters_on_other_bases(tmp_path, quantizer):
    if quantizer:
        pytest.importorskip("bitsandbytes")
    built = model(compressor=DoRA(r=2), quantizer=quantizer)
    summed(built, batch(built, tmp_path, single(2, 0))).backward()
    assert {n.rsplit(".", 1)[0].rsplit(".", 2)[-2] for n in gradients(built) if "magnitude" in n} != set()


def test_answers_in_batches_are_those_of_rows_alone(tmp_path):
    built = model().eval()
    rows = single(3, 0) + among(2, 3, 1)
    rows[0]["docs"] = ["pan sal"]
    data = DocumentsData(test={"t": write(tmp_path / "rows.jsonl", rows)}, eval_batch_size=8)
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.strategy._lightning_module = built
    data.trainer = trainer
    data.setup("test")
    generator = Generator(max_new_tokens=8)
    whole = next(iter(data.test_dataloader()[0]))
    together = dict(zip(whole.ids, [a.text for a in built.answers(whole, generator)], strict=True))
    split = data.splits["t"]
    for at, example in enumerate(split.examples):
        one = data.collate([split[0, at]], "t", generate=True)
        assert built.answers(one, generator)[0].text == together[example.id]
    with torch.no_grad():
        losses = built.summed_loss(whole)[0]
        each = sum(built.summed_loss(data.collate([split[0, k]], "t", generate=True))[0] for k in range(len(rows)))
    torch.testing.assert_close(each, losses, rtol=1e-5, atol=1e-4)
    assert replace(whole).passages is not None
