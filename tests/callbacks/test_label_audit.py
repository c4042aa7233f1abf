from __future__ import annotations

import html
import io
import json

import pytest
from lightning.pytorch.loggers import TensorBoardLogger
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugin_util import markdown_to_safe_html

from lit_llm.callbacks import LabelAudit
from lit_llm.callbacks.label_audit import print_report, shorten
from lit_llm.data.base import AuditReport
from lit_llm.errors import DataError

SAMPLE = [("<|im_start|>user\n", False), ("dos | panes", False), ('{"n"', True), (":2}", True), ("<|im_end|>", True)]


@pytest.fixture
def audited(tiny):
    class Audited(tiny.Data):
        counts: dict[str, int] = {"train rows": 12, "train truncated": 2, "zero-label rows": 0}  # noqa: RUF012

        def audit(self, samples=3):
            return AuditReport(self.counts, [SAMPLE] * samples)

    return Audited


def test_learned_tokens_are_green_and_masked_ones_dim():
    out = io.StringIO()
    print_report({"train rows": 12, "train truncated": 2}, [SAMPLE], Console(file=out, force_terminal=True, width=100))
    text = out.getvalue()
    assert '\x1b[1;32m{"n"' in text
    assert "\x1b[2mdos | panes" in text
    assert "train truncated" in text
    assert "12" in text


def test_it_comes_before_the_first_step_and_in_tensorboard(tiny, audited, tmp_path, capfd):
    class Net(tiny.Net):
        def validation_step(self, batch, index):
            if self.trainer.sanity_checking:
                self.before = capfd.readouterr().err
            return super().validation_step(batch, index)

    net = Net()
    logger = TensorBoardLogger(tmp_path, name="", version="")
    tiny.trainer(tmp_path, [LabelAudit(samples=2)], max_epochs=1, logger=logger).fit(net, audited())
    assert "Label audit" in net.before
    assert net.before.count('{"n":2}<|im_end|>') == 2
    events = EventAccumulator(str(tmp_path)).Reload()
    tags = events.Tags()["tensors"]
    assert json.loads((tmp_path / "audit.json").read_text()) == audited().audit(2).counts
    assert tags == ["audit/counts/text_summary", "audit/sample 1/text_summary", "audit/sample 2/text_summary"]
    [event] = events.Tensors("audit/sample 1/text_summary")
    page = markdown_to_safe_html(event.tensor_proto.string_val[0].decode())
    learned = page.split("<strong>")[1].split("</strong>")[0]
    assert html.unescape(learned) == '{"n":2}<|im_end|>'


def test_rows_without_labels_stop_the_run(tiny, audited, tmp_path):
    audited.counts = {"train rows": 12, "zero-label rows": 3}
    net = tiny.Net()
    with pytest.raises(DataError, match="3 training rows have no token to learn from"):
        tiny.trainer(tmp_path, [LabelAudit()]).fit(net, audited())
    assert net.trace == [] and not (tmp_path / "audit.json").exists()


def test_long_rows_lose_their_middle():
    tokens = [(str(i), i > 90) for i in range(100)]
    shown = shorten(tokens, 10)
    assert [text for text, _ in shown] == [*"01234", " … 90 tokens … ", "95", "96", "97", "98", "99"]
    assert shorten(tokens, 100) == tokens


def test_data_without_an_audit_is_let_pass(tiny, tmp_path):
    tiny.trainer(tmp_path, [LabelAudit()], max_epochs=1).fit(tiny.Net(), tiny.Data(3))
