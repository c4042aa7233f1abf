"""The help of the verbs that take run files, on one screen."""

from __future__ import annotations

ALL = "--help=all"
"""The option that lists everything."""

Entries = dict[str, tuple[str, set[str] | None]]

_ABOUT = {
    "fit": ("Fine-tune the model of a run file.", "--config configs/run/extraction_tiny.yaml"),
    "validate": ("Measure a checkpoint on the validation split.", "--config checkpoints/mine/config.yaml"),
    "test": ("Measure a checkpoint on the test files.", "--config checkpoints/mine/config.yaml"),
    "predict": ("Write the answers of a checkpoint to a CSV file.", "--config checkpoints/mine/config.yaml"),
}
_FIT = {"fit"}
_RUN: Entries = {
    "--config FILE": ("run file; several are merged, later ones win", None),
    "--ckpt_path last": ("go on with the run in its folder", _FIT),
    "--ckpt_path best": ("or last, none (the base as it is), or a .ckpt file", {"validate", "test", "predict"}),
    "--overwrite true": ("replace the run in the folder", _FIT),
    "--predictions answers.csv": ("the file to write; by default in the run folder", {"predict"}),
    "--seed_everything 1": ("of everything random", _FIT),
    "--trainer.default_root_dir DIR": ("the run folder", None),
    "--print_config": ("print the whole configuration and stop", None),
}
_DATA: Entries = {
    "--data.train train.jsonl": ("the file to learn from", _FIT),
    "--data.valid valid.jsonl": ("the file to choose the best checkpoint by", {"fit", "validate"}),
    "--data.test.mine test.jsonl": ("a test file, under a name", {"test"}),
    "--data.predict texts.jsonl": ("the file to answer; without it the test files", {"predict"}),
    "--data.batch_size 8": ("rows of one forward pass", _FIT),
    "--data.eval_batch_size 32": ("rows generated together", {"validate", "test", "predict"}),
    "--data.max_length 1024": ("most tokens of prompt and answer", _FIT),
}
_MODEL: Entries = {
    "--model.backbone Qwen/Qwen3-0.6B": ("hub id or folder of the base", _FIT),
    "--model.adapter configs/adapter/dora.yaml": ("which weights learn", _FIT),
    "--model.adapter.r 16": ("an argument of it", _FIT),
    "--model.quantizer configs/quantizer/nf4.yaml": ("the base in 4 bits", _FIT),
    "--model.optimizer.lr 2e-4": ("learning rate", _FIT),
    "--model.schedule.warmup 0.05": ("share of the steps, or their number", _FIT),
    "--model.generator.max_new_tokens 256": ("the longest answer", None),
    "--model.generator.num_beams 4": ("search instead of taking the likeliest", {"validate", "test", "predict"}),
    "--model.merge true": ("add the adapter into the weights before answering", {"test", "predict"}),
}
_TRAINER: Entries = {
    "--trainer.max_epochs 3": ("or --trainer.max_steps 1000", _FIT),
    "--trainer.accumulate_grad_batches 4": ("forward passes of one optimizer step", _FIT),
    "--trainer.val_check_interval 0.25": ("share of an epoch, or batches, between validations", _FIT),
    "--trainer.accelerator gpu": ("or cpu, auto", None),
    "--trainer.devices 2": ("how many", None),
    "--trainer.precision bf16-mixed": ("or 16-mixed, 32-true", None),
    "--trainer.fast_dev_run 1": ("one batch, to see that everything runs", _FIT),
}
PARTS: dict[str, Entries] = {"run": _RUN, "data": _DATA, "model": _MODEL, "trainer": _TRAINER}
"""By heading: what to type, what it does, and the verbs it is shown for (None: all)."""


def is_asked(options: list[str]) -> bool:
    """Whether the help of a verb is asked for, and nothing else of its options."""
    return any(word in ("-h", "--help") for word in options)


def in_full(options: list[str]) -> list[str]:
    """Return options with each way to ask for all of the help replaced by the parser's own."""
    return ["--help" if word in (ALL, "--help_all", "--help-all") else word for word in options]


def text(verb: str) -> str:
    """Return the help of a verb."""
    about, config = _ABOUT[verb]
    lines = [f"usage: python -m lit_llm {verb} {config} [options]", "", about]
    for heading, entries in PARTS.items():
        shown = {typed: does for typed, (does, verbs) in entries.items() if verbs is None or verb in verbs}
        lines += ["", f"{heading}:"] * bool(shown)
        lines += [f"  {typed:<46} {does}" for typed, does in shown.items()]
    more = (
        f"\n\nmore:\n  {ALL:<46} every option\n"
        f"  {'--model.help=CausalLM':<46} the arguments of a class; or --data.help=…\n"
        "docs/cli.md explains run files, overrides and run folders."
    )
    return "\n".join(lines) + more
