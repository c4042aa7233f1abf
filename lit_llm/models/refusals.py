"""What transformers says of a base that it cannot build, as errors with a remedy."""

from __future__ import annotations

from typing import Any

from lit_llm.errors import ConfigError

KEY = "model.init_args.backbone"
ATTENTION = "model.init_args.loading.attn_implementation"
_ATTENTION_MARKS = (
    "attn_implementation",
    "attention implementation",
    "flashattention",
    "flash_attn",
    "flash attention",
)
_UNKNOWN_MARKS = ("does not recognize this architecture", "unrecognized model in")


def refusal_of(error: Exception, name: str, attention: str, config: Any = None) -> ConfigError | None:
    """Return the error to raise where the reason is the kind of model and not its files; else None.

    Args:
        error: of transformers.
        name: the base.
        attention: the ``attn_implementation`` that was asked for.
        config: the model's configuration, where that could be read.
    """
    said = " ".join(str(error).lower().split())
    if any(mark in said for mark in _ATTENTION_MARKS):
        return ConfigError(
            f"{ATTENTION}: {attention!r} does not go with {name!r}: {_attention_remedy(said, attention)}"
        )
    if any(mark in said for mark in _UNKNOWN_MARKS):
        import transformers

        return ConfigError(
            f"{KEY}: transformers {transformers.__version__} does not know the kind of model that the config.json of "
            f"{name!r} names ({_model_type(error)}): install a later transformers, or set "
            "model.init_args.loading.trust_remote_code to true for a model that brings code which you have read"
        )
    if "unrecognized configuration class" in said:
        kind = getattr(config, "model_type", "?")
        return ConfigError(
            f"{KEY}: {name!r} is no causal language model but {kind!r}: choose a base that continues text, such as "
            "those in docs/models.md"
        )
    return None


def _attention_remedy(said: str, attention: str) -> str:
    if attention not in ("sdpa", "eager", "flash_attention_2"):
        return "it is one of sdpa, eager and flash_attention_2"
    if "installed" in said or "cannot be used" in said:
        return "its package is not installed here; use sdpa"
    return f"the model has no such attention; use {'eager' if attention != 'eager' else 'sdpa'}"


def _model_type(error: Exception) -> str:
    quoted = str(error).split("`")
    return f"model_type {quoted[1]!r}" if "has model type" in quoted[0] and len(quoted) > 1 else "no model_type"
