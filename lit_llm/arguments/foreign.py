"""Options as people of other tools type them, and what does the same here."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

NUMBER = r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?"
COUNT = r"\d+"
CLASS = re.compile(r"\{.*|.+\.ya?ml|[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.DOTALL)
DATA_FILE = re.compile(r"\.(jsonl?|csv|tsv|parquet|txt)$")
EXAMPLE_RUN = "checkpoints/mine"


@dataclass(frozen=True)
class Here:
    """What does here what an option of another tool does there.

    Attributes:
        options: what to type; ``{}`` stands for the value.
        example: value to show where none is given, or one that does not fit.
        note: what is different here.
        fits: regular expression of the values that mean the same here.
        values: values that are called otherwise here.
    """

    options: str
    example: str = ""
    note: str = ""
    fits: str = r".+"
    values: Mapping[str, str] = field(default_factory=dict)

    def typed(self, value: str = "") -> str:
        """Return what to type for a value that was given elsewhere."""
        value = self.values.get(value.lower(), value)
        if re.fullmatch(COUNT, self.example):
            value = value.removesuffix(".0")
        kept = value if re.fullmatch(self.fits, value, re.IGNORECASE) else self.example
        return self.options.replace("{}", shlex.quote(kept))

    def said(self, value: str = "") -> str:
        """Return the same with its note, as an error says it."""
        return "; ".join(part for part in (self.typed(value), self.note) if part)


PRECISION = {"bf16": "bf16-mixed", "bfloat16": "bf16-mixed", "fp16": "16-mixed", "float16": "16-mixed", "no": "32-true"}
ADAPTERS = {kind: f"configs/adapter/{kind}.yaml" for kind in ("lora", "dora", "vera", "full")}
DEVICES = {"cuda": "gpu", "cuda:0": "gpu"}
LOGGERS = {"wandb": "WandbLogger", "mlflow": "MLFlowLogger", "tensorboard": "true", "none": "false"}
STEPS = "in batches: times trainer.accumulate_grad_batches for optimizer steps"

_TABLE = {
    # Training.
    "lr learning_rate base_lr max_lr peak_lr": Here("--model.optimizer.lr {}", "2e-4", fits=NUMBER),
    "epochs num_epochs num_train_epochs n_epochs epoch": Here("--trainer.max_epochs {}", "3", fits=COUNT),
    "max_steps max_train_steps train_steps num_steps iterations max_iters": Here(
        "--trainer.max_steps {}", "1000", "counts optimizer steps", COUNT
    ),
    "batch_size bs per_device_train_batch_size train_batch_size micro_batch_size per_device_batch_size": Here(
        "--data.batch_size {}", "8", "rows of one forward pass", COUNT
    ),
    "per_device_eval_batch_size eval_batch_size": Here("--data.eval_batch_size {}", "32", fits=COUNT),
    "global_batch_size effective_batch_size": Here(
        "--trainer.accumulate_grad_batches {}", "4", "a step has data.batch_size times this many rows", "(?!)"
    ),
    "gradient_accumulation_steps grad_accum gradient_accumulation accumulate_grad_batches grad_acc_steps": Here(
        "--trainer.accumulate_grad_batches {}", "4", fits=COUNT
    ),
    "weight_decay wd": Here("--model.optimizer.weight_decay {}", "0.01", fits=NUMBER),
    "adam_epsilon adam_eps": Here("--model.optimizer.eps {}", "1e-8", fits=NUMBER),
    "adam_beta1 adam_beta2 betas": Here("--model.optimizer.betas {}", "[0.9,0.999]", fits=r"\[.*\]"),
    "optim optimizer optimizer_name optimizer_type": Here(
        "--model.optimizer {}", "torch.optim.AdamW", fits=r"(\w+\.)+\w+"
    ),
    "max_grad_norm gradient_clipping grad_clip clip_grad_norm": Here(
        "--trainer.gradient_clip_val {}", "1.0", fits=NUMBER
    ),
    "warmup_ratio warmup_fraction": Here("--model.schedule.warmup {}", "0.05", "a share of all steps", r"0?\.\d+|0"),
    "warmup_steps num_warmup_steps warmup lr_warmup_steps": Here(
        "--model.schedule.warmup {}", "100", "steps from 1 on, below it a share of all", NUMBER
    ),
    "lr_scheduler_type lr_scheduler scheduler lr_schedule lr_decay_style": Here(
        "--model.schedule.name {}",
        "cosine",
        "cosine, linear, constant or wsd",
        "cosine|linear|constant|wsd",
        {"constant_with_warmup": "constant", "warmup_stable_decay": "wsd"},
    ),
    "label_smoothing label_smoothing_factor": Here("--model.label_smoothing {}", "0.1", fits=NUMBER),
    "seed random_seed data_seed": Here("--seed_everything {}", "0", fits=COUNT),
    "seeds num_seeds": Here(
        f"--seed_everything {{}} --trainer.default_root_dir {EXAMPLE_RUN}_seed1", "1", "one run for each seed", COUNT
    ),
    "early_stopping_patience patience early_stopping": Here(
        "--trainer.callbacks+=EarlyStopping --trainer.callbacks.monitor=val/loss --trainer.callbacks.patience={}",
        "3",
        fits=COUNT,
    ),
    "gradient_checkpointing activation_checkpointing use_gradient_checkpointing grad_checkpointing": Here(
        "--model.gradient_checkpointing {}", "true", fits="true|false"
    ),
    "packing sample_packing use_packing neat_packing packed": Here(
        "--data.packing {}", "true", "rows of like length form a batch anyway, with little padding", "true|false"
    ),
    # The machine.
    "bf16 fp16 mixed_precision precision amp half use_bf16": Here(
        "--trainer.precision {}", "bf16-mixed", "or 16-mixed, 32-true", r"(bf)?16-(mixed|true)|32-true", PRECISION
    ),
    "torch_dtype dtype": Here(
        "--model.loading.dtype {}", "bfloat16", fits="auto|float32|bfloat16|float16", values={"bf16": "bfloat16"}
    ),
    "device accelerator no_cuda use_cpu use_cuda cpu cuda": Here(
        "--trainer.accelerator {}", "gpu", "gpu, cpu or auto", "gpu|cpu|auto|mps", DEVICES
    ),
    "gpus num_gpus n_gpu n_gpus nproc_per_node num_processes devices gpu world_size": Here(
        "--trainer.devices {}", "1", fits=COUNT
    ),
    "num_nodes nnodes num_machines": Here("--trainer.num_nodes {}", "1", fits=COUNT),
    "deepspeed deepspeed_config zero_stage ds_config": Here(
        "--trainer.strategy {}", "deepspeed_stage_2", "needs the package deepspeed", "(?!)"
    ),
    "fsdp ddp strategy distributed use_fsdp": Here(
        "--trainer.strategy {}", "ddp", "or fsdp", "ddp|fsdp", {"full_shard": "fsdp"}
    ),
    "num_workers dataloader_num_workers preprocessing_num_workers workers n_workers": Here(
        "--data.num_workers {}", "2", fits=COUNT
    ),
    "flash_attn flash_attention use_flash_attention_2 attn_implementation attn": Here(
        "--model.loading.attn_implementation {}", "flash_attention_2", fits="sdpa|eager|flash_attention_2"
    ),
    "load_in_4bit quantization_bit qlora 4bit": Here(
        "--model.quantizer {}", "configs/quantizer/nf4.yaml", "for 8 bits configs/quantizer/int8.yaml", "(?!)"
    ),
    "load_in_8bit 8bit": Here("--model.quantizer {}", "configs/quantizer/int8.yaml", fits="(?!)"),
    # The model and its adapter.
    "model_name_or_path model_name model model_id base_model backbone pretrained model_path hf_model repo_id": Here(
        "--model.backbone {}", "Qwen/Qwen3-0.6B", "a hub id or a folder"
    ),
    "model_args": Here("--model.backbone {}", "Qwen/Qwen3-0.6B", fits="(?!)"),
    "tokenizer tokenizer_name tokenizer_path tokenizer_name_or_path": Here(
        "--model.loading.tokenizer {}", "Qwen/Qwen3-0.6B", "by default that beside the weights"
    ),
    "trust_remote_code": Here("--model.loading.trust_remote_code {}", "true", fits="true|false"),
    "model_revision revision": Here("--model.loading.revision {}", "main"),
    "lora_r lora_rank lora_dim rank r": Here("--model.adapter.r {}", "16", fits=COUNT),
    "lora_alpha alpha": Here("--model.adapter.alpha {}", "32", fits=NUMBER),
    "lora_dropout": Here("--model.adapter.dropout {}", "0.05", fits=NUMBER),
    "lora_target_modules lora_target target_modules lora_modules": Here(
        "--model.adapter.target_modules {}",
        "[q_proj,v_proj]",
        fits=r"\[.*\]|all-linear",
        values={"all": "all-linear"},
    ),
    "use_lora lora use_peft peft use_dora adapter finetuning_type peft_type train_type tuner_type": Here(
        "--model.adapter {}", "configs/adapter/lora.yaml", "dora, vera and full lie beside it", r".+\.yaml", ADAPTERS
    ),
    # Data.
    "dataset data dataset_name train_file data_path train_data train_dataset dataset_path train_path": Here(
        "--data.train {}", "train.jsonl", "a file; `init` makes a run file of one", r".+\.\w+"
    ),
    "validation_file eval_file valid_file eval_dataset val_dataset dev_file val_file eval_data val_data": Here(
        "--data.valid {}", "valid.jsonl", fits=r".+\.\w+"
    ),
    "test_file test_dataset test_data tasks": Here("--data.test.mine {}", "test.jsonl", fits=r".+\.\w+"),
    "predict_file input_file input prompt_file": Here("--data.predict {}", "texts.jsonl", fits=r".+\.\w+"),
    "max_length max_seq_length max_seq_len cutoff_len seq_len sequence_len model_max_length seq_length": Here(
        "--data.max_length {}", "1024", "tokens of prompt and answer", COUNT
    ),
    "max_samples max_train_samples limit": Here(
        "--trainer.limit_train_batches {}", "100", "counts batches; limit_test_batches for `test`", "(?!)"
    ),
    "val_size validation_split val_set_size eval_split test_size val_split validation_split_percentage": Here(
        "", note="python -m lit_llm split FILE --fields text --output DIR --valid 0.1 writes the parts"
    ),
    "template chat_template prompt_template prompt_style": Here(
        "--data.chat_template {}", "FILE.jinja", "the model's own by default", r".+\.jinja2?"
    ),
    "system system_prompt default_system": Here("--data.system {}", "Answer in JSON."),
    "prompt instruction": Here("--data.instruction {}", "Write the order as JSON:"),
    # Files of the run.
    "output_dir output output_path save_dir out_dir log_dir logging_dir checkpoint_dir save_path": Here(
        "--trainer.default_root_dir {}", EXAMPLE_RUN
    ),
    "run_name experiment_name exp_name wandb_name name": Here("--trainer.default_root_dir checkpoints/{}", "mine"),
    "overwrite_output_dir overwrite_output force": Here("--overwrite {}", "true", fits="true|false"),
    "resume resume_from_checkpoint resume_from resume_training continue_training": Here(
        "--ckpt_path {}", "last", "or the path of a checkpoint", r".+\.ckpt"
    ),
    "checkpoint ckpt adapter_name_or_path adapter_path lora_path checkpoint_path load_checkpoint weights": Here(
        "--ckpt_path {}", "best", "best, last, none or a .ckpt file", r".+\.ckpt|best|last|none"
    ),
    "logging_steps log_interval log_every log_every_n_steps log_freq": Here(
        "--trainer.log_every_n_steps {}", "10", fits=COUNT
    ),
    "eval_steps eval_interval validation_steps eval_every val_check_interval evaluation_interval": Here(
        "--trainer.val_check_interval {}", "100", STEPS, COUNT
    ),
    "evaluation_strategy eval_strategy do_eval": Here(
        "--trainer.val_check_interval {}", "1.0", "1.0: after each epoch; 100: every 100 batches", "(?!)"
    ),
    "save_steps save_strategy save_interval save_every checkpointing_steps save_total_limit": Here(
        "--trainer.val_check_interval {}",
        "100",
        "last.ckpt is written at each validation and every_n_steps of RunCheckpoint; best and last are kept",
        COUNT,
    ),
    "report_to log_with logger wandb use_wandb tracker wandb_project": Here(
        "--trainer.logger {}", "WandbLogger", "by default TensorBoard's", r"\w+Logger|true|false", LOGGERS
    ),
    "predictions_file output_file save_predictions": Here("--predictions {}", "answers.csv", fits=r".+\.csv"),
    # Answers.
    "max_new_tokens max_tokens generation_max_length max_gen_toks max_completion_length": Here(
        "--model.generator.max_new_tokens {}", "256", fits=COUNT
    ),
    "temperature": Here(
        "--model.generator.do_sample true --model.generator.temperature {}",
        "0.7",
        "answers are the likeliest ones by default",
        r"0?\.\d*[1-9]\d*|[1-9]\d*(\.\d+)?",
    ),
    "top_p": Here("--model.generator.do_sample true --model.generator.top_p {}", "0.9", fits=NUMBER),
    "top_k": Here("--model.generator.do_sample true --model.generator.top_k {}", "50", fits=COUNT),
    "do_sample": Here("--model.generator.do_sample {}", "true", fits="true|false"),
    "num_beams beam_size": Here("--model.generator.num_beams {}", "4", fits=COUNT),
    "repetition_penalty": Here("--model.generator.repetition_penalty {}", "1.1", fits=NUMBER),
    # Steps that are verbs here.
    "do_train train stage": Here("", note="the verb `fit` trains; there is no stage to name"),
    "do_test eval evaluate": Here("", note="python -m lit_llm test --config checkpoints/mine/config.yaml measures"),
    "do_predict": Here("", note="python -m lit_llm predict --config checkpoints/mine/config.yaml answers"),
    "merge merge_lora export_dir merge_and_unload": Here(
        "", note=f"python -m lit_llm export --run {EXAMPLE_RUN} --merged FOLDER merges after training"
    ),
    "config_file config_path cfg yaml recipe": Here("--config {}", "configs/run/extraction_tiny.yaml"),
    "run run_dir run_folder": Here("--config {}/config.yaml", EXAMPLE_RUN),
}

FOREIGN: dict[str, Here] = {name: here for names, here in _TABLE.items() for name in names.split()}
"""By the option's name, with underscores and without dashes."""


def find(name: str, value: str = "") -> Here | None:
    """Return what stands here for an option of another tool; None for one that it does not know.

    Args:
        name: as it was typed, without a value.
        value: that was given. ``--model`` and ``--data`` take a class or a file here, and are right with these.
    """
    plain = name.lstrip("-").replace("-", "_").lower()
    if plain in ("model", "data") and (not value or (CLASS.fullmatch(value) and not DATA_FILE.search(value))):
        return None
    return FOREIGN.get(plain)


def named(options: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each option of other tools on a command line, and what to type here."""
    for word, following in zip(options, [*options[1:], ""], strict=False):
        if not word.startswith("-") or re.fullmatch(NUMBER, word):
            continue
        name, equals, value = word.partition("=")
        value = value if equals else "" if following.startswith("--") else following
        if here := find(name, value):
            yield name, here.said(value)
