"""What happens around the loop: files of the run folder, TensorBoard pages, Ctrl-C."""

from lit_llm.callbacks.baselines import Baselines
from lit_llm.callbacks.checkpoint import RunCheckpoint
from lit_llm.callbacks.clip_figures import ClipFigures
from lit_llm.callbacks.field_bars import FieldBars
from lit_llm.callbacks.interrupt import GracefulInterrupt
from lit_llm.callbacks.label_audit import LabelAudit
from lit_llm.callbacks.metrics_file import MetricsFile
from lit_llm.callbacks.predictions import PredictionWriter
from lit_llm.callbacks.progress_lines import ProgressLines
from lit_llm.callbacks.result_table import ResultTable
from lit_llm.callbacks.results import ResultsFile
from lit_llm.callbacks.samples import SampleTable
from lit_llm.callbacks.summary import RunSummary
from lit_llm.callbacks.throughput import Throughput
from lit_llm.callbacks.trainable import TrainableTable

__all__ = [
    "Baselines",
    "ClipFigures",
    "FieldBars",
    "GracefulInterrupt",
    "LabelAudit",
    "MetricsFile",
    "PredictionWriter",
    "ProgressLines",
    "ResultTable",
    "ResultsFile",
    "RunCheckpoint",
    "RunSummary",
    "SampleTable",
    "Throughput",
    "TrainableTable",
]
