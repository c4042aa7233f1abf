"""Data: records on disk become batches."""

from lit_llm.data.augmentation import Augmenter
from lit_llm.data.base import LMData
from lit_llm.data.dataset import Example
from lit_llm.data.extraction import ExtractionData

__all__ = ["Augmenter", "Example", "ExtractionData", "LMData"]
