"""What happens around the loop: files of the run folder, TensorBoard pages, Ctrl-C."""

from lit_llm.callbacks.checkpoint import RunCheckpoint
from lit_llm.callbacks.clip_figures import ClipFigures
from lit_llm.callbacks.field_bars import FieldBars
from lit_llm.callbacks.interrupt import GracefulInterrupt
from lit_llm.callbacks.label_audit import LabelAudit
from lit_llm.callbacks.metrics_file import MetricsFile
from lit_llm.callbacks.predictions import PredictionWriter
from lit_llm.callbacks.results import ResultsFile
from lit_llm.callbacks.samples import SampleTable
from lit_llm.callbacks.throughput import Throughput
from lit_llm.callbacks.trainable import TrainableTable

__all__ = [
    "ClipFigures",
    "FieldBars",
    "GracefulInterrupt",
    "LabelAudit",
    "MetricsFile",
    "PredictionWriter",
    "ResultsFile",
    "RunCheckpoint",
    "SampleTable",
    "Throughput",
    "TrainableTable",
]
