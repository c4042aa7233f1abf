from __future__ import annotations

import time

import pytest
import torch

from lit_llm.callbacks import Throughput
from lit_llm.callbacks.throughput import peak_memory


def run(tiny, root, slow_validation=0.0, **options):
    logged = []

    class Slow(tiny.Net):
        def log(self, name, value, **kwargs):
            if name.startswith(("speed", "memory")):
                logged.append((self.trainer.global_step, name, value))
            super().log(name, value, **kwargs)

        def training_step(self, batch, index):
            time.sleep(0.01)
            return super().training_step(batch, index)

        def validation_step(self, batch, index):
            time.sleep(slow_validation)
            return super().validation_step(batch, index)

    options = {"max_epochs": 1, "log_every_n_steps": 2} | options
    tiny.trainer(root, [Throughput()], **options).fit(Slow(), tiny.Data(8))
    return logged


def test_it_logs_at_the_interval_with_the_right_ratios(tiny, tmp_path):
    logged = run(tiny, tmp_path)
    assert sorted({step for step, *_ in logged}) == [2, 4, 6, 8]
    values = {name: value for step, name, value in logged if step == 4}
    assert values["speed/padding"] == pytest.approx(0.2)  # 1 of 5 positions
    # 8 real tokens in a batch, of which 4 are learned, in at least 10 ms.
    assert 0 < values["speed/tokens_per_second"] <= 800
    assert values["speed/supervised_tokens_per_second"] == pytest.approx(values["speed/tokens_per_second"] / 2)
    assert 0.05 < values["memory/peak_gib"] < 100


def test_accumulated_batches_count_once_per_step(tiny, tmp_path):
    logged = run(tiny, tmp_path, accumulate_grad_batches=4, log_every_n_steps=1)
    assert [step for step, name, _ in logged if name == "speed/padding"] == [1, 2]


@pytest.mark.slow
def test_validations_do_not_count(tiny, tmp_path):
    quick = run(tiny, tmp_path, val_check_interval=1)
    slow = run(tiny, tmp_path, slow_validation=0.1, val_check_interval=1)
    speeds = [[v for _, name, v in logged if name == "speed/tokens_per_second"][-1] for logged in (quick, slow)]
    assert speeds[1] > speeds[0] / 3  # counted, they would make it 20 times slower


def test_peak_memory_never_falls():
    before = peak_memory(torch.device("cpu"))
    block = torch.ones(2**24)
    assert peak_memory(torch.device("cpu")) >= before > 0
    del block
