"""The text of a run file that is to be read and changed by people."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import Any

from lit_llm.starting.bases import Base, parameters
from lit_llm.starting.budgets import Budget
from lit_llm.starting.plan import Plan

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
CALLBACKS = ["LabelAudit", "TrainableTable", "Throughput", "SampleTable"]
OWN_CALLBACKS = {"extraction": ["FieldBars"], "sign": ["ClipFigures"]}
"""What a task shows besides; what makes a run a run is added to every list."""

METRICS = {"extraction": "ExtractionMetrics", "translation": "TranslationMetrics", "sign": "SignMetrics"}
CHECKPOINTED = 3e9
"""Parameters from which activations are computed again to save memory."""


def run_file(plan: Plan, base: Base, budget: Budget, seed: int = 0) -> str:
    """Return a run file whose paths start with ``{here}``."""
    names = ", ".join(path.name for path in plan.sources)
    return "\n".join(
        [
            f"# {names}: {plan.task}, made by `python -m lit_llm init`. Change what you like; README.md beside it says",
            "# how it is used. {here} is the folder of this file.",
            f"seed_everything: {seed}",
            *_model(plan, base, budget),
            *_data(plan, budget),
            *_trainer(plan, base, budget),
            "",
        ]
    )


def learning_rate(task: str, base: Base) -> float:
    """Return the rate that a run starts from."""
    if base.tiny:
        return {"extraction": 4e-3, "translation": 1e-3}.get(task, 2e-3)
    return 2e-4 if task == "extraction" else 1e-4


def _model(plan: Plan, base: Base, budget: Budget) -> list[str]:
    kind = "SignLM" if plan.task == "sign" else "CausalLM"
    rate = f"{learning_rate(plan.task, base):.1e}".replace("e-0", "e-")
    decay = 0.1 if base.tiny and plan.task == "translation" else 0.01
    lines = [
        "model:",
        f"  class_path: lit_llm.models.{kind}",
        "  init_args:",
        f"    backbone: {_text(base.backbone)}  # {base.reason}",
        *_weights(plan, base),
        "    optimizer:",
        "      class_path: torch.optim.AdamW",
        f"      init_args: {{lr: {rate}, weight_decay: {decay}, betas: [0.9, 0.95]}}",
        "    schedule: {name: cosine, warmup: 0.05}",
        "    generator:",
        "      class_path: lit_llm.generation.Generator",
        "      init_args:",
        f"        max_new_tokens: {budget.max_new_tokens}  # the longest answer has {budget.longest_answer}",
        *_decoding(plan),
        f"    metrics: [{{class_path: lit_llm.metrics.{METRICS[plan.task]}}}]",
    ]
    if not base.tiny and parameters(base.backbone) >= CHECKPOINTED:
        lines.append("    gradient_checkpointing: true  # less memory, a third slower")
    # A full adapter has nothing to merge.
    return lines if base.tiny and plan.task != "extraction" else [*lines, "    merge: true"]


def _weights(plan: Plan, base: Base) -> list[str]:
    if base.tiny and plan.task == "sign":
        return [
            "    loading: {random_init: true,  # what the tiny base knows of texts does not help with clips",
            "      config_overrides: {num_hidden_layers: 2, hidden_size: 128, intermediate_size: 256}}",
            "    adapter: {class_path: lit_llm.adapters.Full}",
            "    hidden: 256",
        ]
    if base.tiny and plan.task == "translation":
        return ["    adapter: {class_path: lit_llm.adapters.Full}"]
    if base.tiny:
        settings = f"r: 16, alpha: 32, dropout: 0.0, plus_ratio: 4.0, target_modules: [{', '.join(ATTENTION)}]"
    else:
        settings = "r: 16, alpha: 32, dropout: 0.05, rslora: true, target_modules: all-linear"
    return ["    adapter:", "      class_path: lit_llm.adapters.LoRA", f"      init_args: {{{settings}}}"]


def _decoding(plan: Plan) -> list[str]:
    if plan.task == "translation":
        return ["        per_source: 3"]
    if plan.task != "extraction":
        return []
    lines = ["        stop: json"]
    if find_spec("llguidance") is None:
        return [*lines, "        # constraint: needs llguidance: pip install -e '.[constrained]'"]
    named = '{schema: "{here}/schema.json"}' if plan.schema else "{}"
    return [
        *lines,
        "        constraint:  # no answer can break the schema",
        "          class_path: lit_llm.generation.JsonSchemaConstraint",
        f"          init_args: {named}",
    ]


def _data(plan: Plan, budget: Budget) -> list[str]:
    lines = [
        "data:",
        f"  class_path: {plan.data_class}",
        "  init_args:",
        '    train: "{here}/train.jsonl"',
        '    valid: "{here}/valid.jsonl"',
        '    test: {test: "{here}/test.jsonl"}',
    ]
    if plan.schema:
        lines.append('    schema: "{here}/schema.json"')
    # Flow style of YAML holds JSON.
    lines += [f"    {key}: {_value(value)}" for key, value in plan.settings.items()]
    return [
        *lines,
        f"    batch_size: {budget.batch_size}",
        f"    eval_batch_size: {budget.eval_batch_size}",
        f"    max_length: {budget.max_length}  # the longest row has {budget.longest} tokens",
    ]


def _trainer(plan: Plan, base: Base, budget: Budget) -> list[str]:
    lines = [
        "trainer:",
        '  default_root_dir: "{here}/run"',
        f"  max_epochs: {budget.epochs}",
        f"  check_val_every_n_epoch: {budget.validations_every}",
        *_shortened(budget),
    ]
    if base.gpu and not base.tiny:
        lines += ["  accelerator: gpu", "  devices: 1", "  precision: bf16-mixed"]
    else:
        lines += [f"  accelerator: {'auto' if base.gpu else 'cpu'}", "  devices: 1"]
    lines += ["  gradient_clip_val: 1.0", "  num_sanity_val_steps: 0"]
    lines += [f"  log_every_n_steps: {budget.log_every}", "  callbacks:"]
    return lines + [
        f"    - class_path: lit_llm.callbacks.{name}" for name in CALLBACKS + OWN_CALLBACKS.get(plan.task, [])
    ]


def _shortened(budget: Budget) -> list[str]:
    lines = []
    if budget.most_steps:
        lines += [
            f"  max_steps: {budget.most_steps}  # an epoch takes longer than --minutes; delete both for all of it",
            f"  val_check_interval: {budget.most_steps}  # validate at the end",
        ]
    if budget.answered:
        lines.append(f"  limit_val_batches: {budget.answered}  # answers take long; delete it to validate on all rows")
    return lines


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
