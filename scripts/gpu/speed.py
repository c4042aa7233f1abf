"""Training and generation by lit_llm beside plain loops of transformers and peft."""

from __future__ import annotations

import csv
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from lit_llm import quantization
from lit_llm.__main__ import main as lit_llm
from lit_llm.adapters import LoRA
from lit_llm.batch import Batch
from lit_llm.data import TranslationData
from lit_llm.generation import Generator
from lit_llm.models import CausalLM, Loading
from lit_llm.models.base import adamw
from lit_llm.planning import Plan

WORDS = ["casa", "agua", "maíz", "pueblo", "camino", "noche", "fuego", "piedra", "flor", "pájaro", "cerro", "lluvia"]

LENGTH = 90
"""Words of a text, which is then no longer than training takes by default."""


def device() -> torch.device:
    """Return where things run."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def product_rate(tiny: bool) -> Mapping[str, Any]:
    """Measure how many operations a second large bfloat16 products reach, which is what shares are of."""
    size = 256 if tiny else 8192
    a, b = (torch.randn(size, size, device=device(), dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        a @ b
    synchronize()
    start = time.perf_counter()
    for _ in range(10):
        a @ b
    synchronize()
    return {"flops": 10 * 2 * size**3 / (time.perf_counter() - start), "size": size}


def rows(folder: Path, tiny: bool, count: int) -> Path:
    """Write pairs of texts of nearly one length, and return their file."""
    words = random.Random(0)
    path = folder / f"rows_{count}.jsonl"
    length = 12 if tiny else LENGTH
    lines = [{name: " ".join(words.choices(WORDS, k=length)) for name in ("es", "nah")} for _ in range(count)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def fit(
    base: Path,
    run: Path,
    *,
    precision: str,
    steps: int,
    dtype: str,
    tiny: bool,
    quantizer: str | None = None,
    packing: bool = False,
) -> dict[str, Any]:
    """Train as a user would, and return the figures that the run logged last.

    Args:
        base: folder of the backbone.
        run: folder of the run.
        precision: of the trainer.
        steps: of the optimizer.
        dtype: of the frozen weights.
        tiny: whether rows are short.
        quantizer: class of ``lit_llm.quantization``.
        packing: put the rows of a batch into one.

    Returns:
        ``loss``, ``tokens_per_second`` and ``peak_gib``.
    """
    size = 2 if tiny else 8
    model: dict[str, Any] = {
        "backbone": str(base),
        "adapter": {"class_path": "lit_llm.adapters.LoRA", "init_args": {"target_modules": "all-linear"}},
        "loading": {"dtype": dtype},
    }
    if quantizer:
        model["quantizer"] = {"class_path": f"lit_llm.quantization.{quantizer}"}
    train = str(rows(run.parent, tiny, steps * size))
    data = {"train": train, "batch_size": size, "max_length": 2048, "packing": packing}
    callbacks = [{"class_path": "lit_llm.callbacks.Throughput", "init_args": {"progress_bar": False}}]
    trainer = {
        "default_root_dir": str(run),
        "max_steps": steps,
        "accelerator": "gpu" if torch.cuda.is_available() else "cpu",
        "devices": 1,
        "precision": precision,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "log_every_n_steps": max(1, steps // 2),
        "callbacks": callbacks,
    }
    settings = {
        "seed_everything": 0,
        "model": {"class_path": "lit_llm.models.CausalLM", "init_args": model},
        "data": {"class_path": "lit_llm.data.TranslationData", "init_args": data},
        "trainer": trainer,
    }
    file = run.with_suffix(".yaml")
    file.write_text(json.dumps(settings), encoding="utf-8")
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    if lit_llm(["fit", "--config", str(file), "--overwrite", "true"]) != 0:
        raise RuntimeError("fit failed; its error stands above")
    with (run / "metrics.csv").open(newline="") as table:
        logged = {row["name"]: float(row["value"]) for row in csv.DictReader(table)}
    names = {"loss": "train/loss", "tokens_per_second": "speed/tokens_per_second", "peak_gib": "memory/peak_gib"}
    return {key: round(logged[name], 4) for key, name in names.items()}


def training(base: Path, folder: Path, quantizer: str | None, tiny: bool) -> Mapping[str, Any]:
    """Measure a training by lit_llm beside a plain loop over the same batches."""
    steps = 4 if tiny else 16
    ours = fit(base, folder / "run", precision="bf16-mixed", steps=steps, dtype="auto", tiny=tiny, quantizer=quantizer)
    plain = plain_training(base, folder, quantizer, tiny, steps)
    planned = planned_gib(base, folder, quantizer, tiny, steps)
    # Forward, and backward through activations alone: weights are frozen. Heads and attention are not counted.
    return ours | {
        **{f"plain_{key}": value for key, value in plain.items()},
        "planned_gib": round(planned, 4),
        "planned_over_peak": round(planned / ours["peak_gib"], 3) if torch.cuda.is_available() else None,
        "flops_per_token": 4 * weights(base),
    }


def packing(base: Path, folder: Path, tiny: bool) -> Mapping[str, Any]:
    """Measure a training on rows that stand behind one another, whose losses are those of rows beside one another."""
    found: dict[str, Any] = {}
    for name, packed in (("", False), ("packed_", True)):
        steps = 4 if tiny else 16
        seen = fit(base, folder / "run", precision="bf16-mixed", steps=steps, dtype="auto", tiny=tiny, packing=packed)
        found |= {f"{name}{key}": value for key, value in seen.items()}
    return found


def planned_gib(base: Path, folder: Path, quantizer: str | None, tiny: bool, steps: int) -> float:
    """Return the memory that ``check --plan`` foretells for the training."""
    batches = loaded(base, folder, tiny, steps)
    plan = Plan(
        backbone=str(base),
        loading=Loading(),
        adapter=LoRA(target_modules="all-linear"),
        optimizer=adamw,
        quantizer=getattr(quantization, quantizer)() if quantizer else None,
        precision="bf16-mixed",
        checkpointing=False,
        batch=len(batches[0]),
        length=max(batch.labels.shape[1] for batch in batches),
        clips=False,
    )
    return plan.memory().total / 2**30


def weights(base: Path) -> int:
    """Return how many weights the linear layers of a base have, its head left out."""
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base))
    head = model.get_output_embeddings()
    layers = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear) and layer is not head]
    return sum(layer.weight.numel() for layer in layers)


def plain_training(base: Path, folder: Path, quantizer: str | None, tiny: bool, steps: int) -> dict[str, Any]:
    """Train with transformers and peft alone, as scripts do."""
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    settings: dict[str, Any] = {"dtype": torch.bfloat16, "attn_implementation": "sdpa"}
    if quantizer:
        settings["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
        settings["device_map"] = {"": device()}
    model = AutoModelForCausalLM.from_pretrained(base, **settings)
    if quantizer:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    model = get_peft_model(model.to(device()), LoraConfig(r=16, lora_alpha=32, target_modules="all-linear"))
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=2e-4)
    batches = loaded(base, folder, tiny, steps)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    tokens = 0
    start = time.perf_counter()
    for at, batch in enumerate(batches):
        if at == steps // 2:
            synchronize()
            tokens, start = 0, time.perf_counter()
        inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask, "labels": batch.labels}
        with torch.autocast(device().type, dtype=torch.bfloat16):
            loss = model(**{name: value.to(device()) for name, value in inputs.items()}).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        tokens += int(batch.attention_mask.sum())
    synchronize()
    seconds = time.perf_counter() - start
    peak = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
    return {"tokens_per_second": round(tokens / seconds, 1), "peak_gib": round(peak, 3)}


def trl_training(base: Path, folder: Path, tiny: bool) -> Mapping[str, Any]:
    """Measure the same training by TRL, where it is installed: here, or where ``TRL_PYTHON`` says."""
    python = os.environ.get("TRL_PYTHON", sys.executable)
    environment = dict(os.environ)
    if python != sys.executable:
        environment.pop("PYTHONPATH", None)
    if subprocess.run([python, "-c", "import trl"], env=environment, capture_output=True, check=False).returncode:
        return {"skipped": "trl is not installed; name the python of its environment in TRL_PYTHON"}
    batches = [
        [(ids[seen.bool()].tolist(), labels[seen.bool()].tolist()) for ids, labels, seen in rows_of(batch)]
        for batch in loaded(base, folder, tiny, 4 if tiny else 16)
    ]
    given = {"base": str(base), "folder": str(folder / "trl"), "batches": batches}
    (folder / "trl.json").write_text(json.dumps(given), encoding="utf-8")
    # Its own folder holds a file that is called as a module of Python's.
    command = [python, "-P", str(Path(__file__).with_name("trl_step.py")), str(folder / "trl.json")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-1000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found | {"flops_per_token": 4 * weights(base)}


def rows_of(batch: Batch) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Yield the ids, labels and mask of each row."""
    ids = batch.input_ids
    if ids is not None:
        yield from zip(ids, batch.labels, batch.attention_mask, strict=True)


def loaded(base: Path, folder: Path, tiny: bool, steps: int) -> list[Batch]:
    """Return the batches that a training of so many steps meets."""
    size = 2 if tiny else 8
    data = TranslationData(train=str(rows(folder, tiny, steps * size)), batch_size=size, max_length=2048)
    data.tokenizer = CausalLM(backbone=str(base)).tokenizer
    data.setup("fit")
    return list(data.train_dataloader())


def generation(base: Path, tiny: bool) -> Mapping[str, Any]:
    """Measure greedy answers of one length by lit_llm beside ``transformers.generate``."""
    count, new = (4, 8) if tiny else (64, 128)
    model = CausalLM(backbone=str(base), loading=Loading(dtype="bfloat16"))
    model.configure_model()
    model.to(device()).eval()
    data = TranslationData(predict=str(rows(base.parent, tiny, count)), eval_batch_size=count)
    data.tokenizer = model.tokenizer
    data.setup("predict")
    batch = next(iter(data.predict_dataloader()[0])).to(device())
    inputs = {"input_ids": batch.prompt.input_ids, "attention_mask": batch.prompt.attention_mask}
    way = Generator(max_new_tokens=new, stop="never")
    found: dict[str, Any] = {}
    with torch.inference_mode():
        for _ in range(2):
            start = time.perf_counter()
            ours = [answer.text for answer in model.answers(batch, way)]
            synchronize()
            found["tokens_per_second"] = round(count * new / (time.perf_counter() - start), 1)
            start = time.perf_counter()
            wanted = {"max_new_tokens": new, "min_new_tokens": new, "do_sample": False}
            out = model.language_model.generate(**inputs, **wanted)
            synchronize()
            found["plain_tokens_per_second"] = round(count * new / (time.perf_counter() - start), 1)
    texts = model.tokenizer.batch_decode(out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return found | {"rows": count, "equal_texts": sum(a == b for a, b in zip(ours, texts, strict=True))}


def merged(base: Path, folder: Path, tiny: bool) -> Mapping[str, Any]:
    """Train an adapter, merge it, open the result in transformers, and compare what both make of the same rows."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    run, whole = folder / "merged_run", folder / "merged"
    fit(base, run, precision="bf16-mixed", steps=4, dtype="auto", tiny=tiny)
    start = time.perf_counter()
    if lit_llm(["export", "--run", str(run), "--merged", str(whole)]) != 0:
        raise RuntimeError("export failed; its error stands above")
    seconds = time.perf_counter() - start
    batch = loaded(base, folder, tiny, 4)[0]
    losses = {}
    for name, path in (("merged", whole), ("adapter", base)):
        model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).to(device())
        if name == "adapter":
            model = PeftModel.from_pretrained(model, run / "adapter")
        with torch.inference_mode():
            losses[name] = float(model(batch.input_ids.to(device()), labels=batch.labels.to(device())).loss)
    return {
        "export_seconds": round(seconds, 1),
        "loss": losses,
        "difference": abs(losses["merged"] - losses["adapter"]),
    }


def synchronize() -> None:
    """Wait for the GPU, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
