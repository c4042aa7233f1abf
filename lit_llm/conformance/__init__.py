"""What a run does with a base, tried in miniature: one file for each group of checks."""

from lit_llm.conformance.findings import Finding
from lit_llm.conformance.suite import conformance

__all__ = ["Finding", "conformance"]
