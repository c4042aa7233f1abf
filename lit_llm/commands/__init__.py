"""Verbs of ``python -m lit_llm`` that are not a Lightning loop: one module each, with a ``main(argv)``."""
