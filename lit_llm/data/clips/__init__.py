"""Clips of sign language: files of features or poses become arrays."""

from lit_llm.data.clips.changes import ClipChanges, Corruption, corrupted, evenly_spaced, sampled
from lit_llm.data.clips.reading import Clip, ClipError, clip_length, read_clip
from lit_llm.data.clips.skeleton import BONES, POINTS, VECTOR_SIZE, normalised, vectors

__all__ = [
    "BONES",
    "POINTS",
    "VECTOR_SIZE",
    "Clip",
    "ClipChanges",
    "ClipError",
    "Corruption",
    "clip_length",
    "corrupted",
    "evenly_spaced",
    "normalised",
    "read_clip",
    "sampled",
    "vectors",
]
