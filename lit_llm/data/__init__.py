"""Data: records on disk become batches."""

from lit_llm.data.augmentation import Augmenter
from lit_llm.data.base import LMData
from lit_llm.data.cleaning import Cleaner
from lit_llm.data.clips import ClipChanges
from lit_llm.data.dataset import Example
from lit_llm.data.extraction import ExtractionData
from lit_llm.data.mixing import MixedData
from lit_llm.data.orthography import NahuatlOrthography
from lit_llm.data.sign import SignData
from lit_llm.data.translation import TranslationData

__all__ = [
    "Augmenter",
    "Cleaner",
    "ClipChanges",
    "Example",
    "ExtractionData",
    "LMData",
    "MixedData",
    "NahuatlOrthography",
    "SignData",
    "TranslationData",
]
