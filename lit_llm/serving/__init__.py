"""A run answers over HTTP, as OpenAI's interface asks: llama.cpp computes, and what a run's prompt needs is added."""

from lit_llm.serving.front import Front
from lit_llm.serving.requests import BadRequest, Requests

__all__ = ["BadRequest", "Front", "Requests"]
