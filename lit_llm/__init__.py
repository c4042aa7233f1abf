"""lit_llm: fine-tune Qwen3-family language models from YAML files, with PyTorch Lightning."""

__version__ = "0.1.0"
