"""Models: a batch becomes a loss, or text."""

from lit_llm.models.align import SignAligner
from lit_llm.models.backbone import Loading
from lit_llm.models.base import LitLM
from lit_llm.models.causal import CausalLM
from lit_llm.models.clara import ClaraLM
from lit_llm.models.drafting import DraftModel
from lit_llm.models.schedule import Schedule
from lit_llm.models.sign import SignLM

__all__ = ["CausalLM", "ClaraLM", "DraftModel", "LitLM", "Loading", "Schedule", "SignAligner", "SignLM"]
