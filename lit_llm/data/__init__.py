"""Data: records on disk become batches."""

from lit_llm.data.base import LMData
from lit_llm.data.clips import ClipChanges
from lit_llm.data.hygiene.cleaning import Cleaner
from lit_llm.data.hygiene.orthography import NahuatlOrthography
from lit_llm.data.hygiene.saltillo import Saltillo
from lit_llm.data.shots import Shots
from lit_llm.data.tasks.documents import DocumentsData
from lit_llm.data.tasks.extraction import ExtractionData
from lit_llm.data.tasks.mixing import MixedData
from lit_llm.data.tasks.sign import SignData
from lit_llm.data.tasks.translation import TranslationData
from lit_llm.data.tokens.dataset import Example
from lit_llm.data.variants.augmentation import Augmenter

__all__ = [
    "Augmenter",
    "Cleaner",
    "ClipChanges",
    "DocumentsData",
    "Example",
    "ExtractionData",
    "LMData",
    "MixedData",
    "NahuatlOrthography",
    "Saltillo",
    "Shots",
    "SignData",
    "TranslationData",
]
