"""Translation scores: the published figures, in one process and in two, and the mistakes that are refused."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
from sacrebleu.metrics import BLEU, CHRF, TER

from lit_llm.errors import ConfigError, DataError
from lit_llm.metrics import TranslationMetrics
from lit_llm.metrics.corpus import Translation, corpus_score, grouped, outcomes, score_rows

PUBLISHED = {"chrf": 61.09, "chrfpp": 57.51, "bleu": 33.97}
SIGNATURES = {
    "chrfpp": "nrefs:1|case:mixed|eff:yes|nc:6|nw:2|space:no|version:",
    "chrf": "nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:",
    "bleu": "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:",
}
HYPOTHESES = ["in calli huei", "niman oquichiuh itlah cualli", "amo"]
REFERENCES = ["in calli huey", "niman oquichiuh tlen cualli", "amo nicnequi"]


@pytest.fixture(scope="module")
def published(real_data: Path) -> list[dict[str, Any]]:
    lines = (real_data / "data/translation/predictions_qwen3_4b.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def measured(rows: list[dict[str, Any]], batch: int = 64) -> TranslationMetrics:
    metric = TranslationMetrics()
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        metric.update([r["hyp"] for r in part], [r["ref"] for r in part], [{"id": r["id"]} for r in part])
    return metric


def test_published_figures(published: list[dict[str, Any]]) -> None:
    found = measured(published).compute()
    assert {name: round(found[name], 2) for name in PUBLISHED} == PUBLISHED
    assert found["rows"] == 1000
    assert found["exact"] == pytest.approx(253, abs=3)


def _process(rank: int, rows: list[dict[str, Any]], folder: str) -> None:
    store = torch.distributed.FileStore(f"{folder}/store", 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    # Three rows that both have, as where a sampler evens out the processes.
    metric = measured(rows[rank::2] + rows[:3], batch=50)
    Path(folder, f"{rank}.json").write_text(json.dumps(metric.compute()))


@pytest.mark.slow
def test_published_figures_in_two_processes(published: list[dict[str, Any]], tmp_path: Path) -> None:
    mp.spawn(_process, args=(published, str(tmp_path)), nprocs=2)
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    assert found[0] == found[1] == pytest.approx(measured(published).compute(), abs=1e-9)
    assert {name: round(found[0][name], 2) for name in PUBLISHED} == PUBLISHED


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_flat_list_of_references_is_refused(name: str) -> None:
    with pytest.raises(DataError, match=r"write \[references\]"):
        corpus_score(name, HYPOTHESES, REFERENCES)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        (HYPOTHESES, [REFERENCES[:2]], r"references\[0\]: 2 references for 3 texts"),
        (HYPOTHESES, [REFERENCES, [*REFERENCES, "x"]], r"references\[1\]: 4 references for 3 texts"),
        ([], [[]], "nothing to score"),
        (HYPOTHESES, [], "nothing to score"),
        (HYPOTHESES, "in calli", "list of reference streams"),
    ],
)
def test_references_of_another_shape_are_refused(hypotheses: Any, references: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        corpus_score("chrfpp", hypotheses, references)


@pytest.mark.parametrize("reference", [None, 3, [], [None], {"a": 1}])
def test_a_row_needs_a_text_or_texts_as_reference(reference: Any) -> None:
    with pytest.raises(DataError, match="a text or a list of texts"):
        TranslationMetrics().update(["a"], [reference], [{}])


@pytest.mark.parametrize(
    ("name", "scorer"), [("chrfpp", CHRF(word_order=2)), ("chrf", CHRF()), ("bleu", BLEU()), ("ter", TER())]
)
def test_scores_are_those_of_sacrebleu(name: str, scorer: Any) -> None:
    several = [REFERENCES, ["in huei calli", None, "amo, nicnequi"]]
    expected = scorer.corpus_score(HYPOTHESES, several).score
    metric = TranslationMetrics(scores=[name])
    metric.update(HYPOTHESES, [[REFERENCES[0], several[1][0]], REFERENCES[1], [REFERENCES[2], several[1][2]]], [{}] * 3)
    assert metric.compute()[name] == corpus_score(name, HYPOTHESES, several).value == expected


def test_signatures_let_others_make_the_scores_again() -> None:
    metric = TranslationMetrics()
    assert metric.signatures() == {}
    metric.update(HYPOTHESES, REFERENCES, [{}] * 3)
    metric.compute()
    found = metric.signatures()
    assert set(found) == set(SIGNATURES)
    for name, signature in found.items():
        assert signature.startswith(SIGNATURES[name])


@pytest.mark.parametrize(
    ("references", "count"),
    [
        (["a", "b", "c"], "1"),
        ([["a", "A"]] * 3, "2"),
        ([["a", "b", "c"], "b", ["c", "d"]], "var"),
        ([["a", " "]] * 3, "1"),
    ],
)
def test_signatures_name_the_references_that_there_are(references: list[Any], count: str) -> None:
    metric = TranslationMetrics(scores=["chrfpp", "bleu"])
    # A row without a reference is not scored.
    metric.update([*HYPOTHESES, "x"], [*references, ""], [{}] * 4)
    metric.compute()
    assert {signature.split("|")[0] for signature in metric.signatures().values()} == {f"nrefs:{count}"}


def test_composed_and_decomposed_letters_score_the_same() -> None:
    text = "Ōtlācat īpan cē āltepētl"
    for form in ("NFC", "NFD"):
        metric = TranslationMetrics()
        metric.update([unicodedata.normalize(form, text)], [text], [{}])
        assert metric.compute()["chrfpp"] == 100


def test_groups_and_their_macro_average() -> None:
    metric = TranslationMetrics(by=["direction", "dialect"])
    rows = [("es-nah", "classical"), ("es-nah", "huasteca"), ("nah-es", "classical")]
    metric.update(HYPOTHESES, REFERENCES, [{"direction": d, "dialect": k} for d, k in rows])
    found = metric.compute()
    single = [corpus_score("chrfpp", [h], [[r]]).value for h, r in zip(HYPOTHESES, REFERENCES, strict=True)]
    assert found["direction/es-nah/chrfpp"] == corpus_score("chrfpp", HYPOTHESES[:2], [REFERENCES[:2]]).value
    assert found["dialect/classical/n"] == 2
    assert found["chrfpp_macro"] == pytest.approx(sum(single) / 3)


def test_a_fact_with_one_value_makes_no_group_of_its_own() -> None:
    metric = TranslationMetrics()
    metric.update(HYPOTHESES, REFERENCES, [{"direction": "es-nah"}] * 3)
    assert not [name for name in metric.compute() if name.startswith("direction/")]


@pytest.mark.parametrize(
    ("words", "bucket"), [(1, "1"), (2, "2-4"), (4, "2-4"), (5, "5-9"), (19, "10-19"), (20, "20+")]
)
def test_length_buckets_count_the_words_of_the_reference(words: int, bucket: str) -> None:
    row = Translation("", (" ".join(["a"] * words),), {})
    assert list(grouped([row], ["length"])) == [(bucket,)]


def test_rows_without_reference_are_left_out_and_counted() -> None:
    metric = TranslationMetrics()
    metric.update([*HYPOTHESES, "algo", "más"], [*REFERENCES, "", ["", " "]], [{}] * 5)
    found = metric.compute()
    assert found["chrfpp"] == corpus_score("chrfpp", HYPOTHESES, [REFERENCES]).value
    assert (found["rows"], found["empty_references"]) == (5, 2)
    assert score_rows([Translation("a", ("",), {})], ["chrf"]) == {}


def test_what_hides_behind_a_score_is_counted() -> None:
    rows = [
        Translation("", ("a",), {"source": ""}),
        Translation("El  Perro ", ("itzcuintli",), {"source": "el perro"}),
        Translation("<think> amo", ("amo",), {"source": "no"}),
        Translation("amo amo amo", ("amo",), {"source": "no", "finished": False}),
        Translation("AMO", ("amo",), {"source": "no", "truncated": True}),
    ]
    expected = {"empty": 1, "copied": 1, "thinking": 1, "unstopped": 1, "truncated": 1, "exact": 1}
    assert outcomes(rows) == expected | {"empty_references": 0}


@pytest.mark.parametrize("scores", [["rouge"], []])
def test_unknown_scores_are_refused(scores: list[str]) -> None:
    with pytest.raises(ConfigError, match="scores"):
        TranslationMetrics(scores=scores)


def test_nothing_before_the_first_row() -> None:
    with pytest.warns(UserWarning, match="before the ``update``"):
        assert TranslationMetrics().compute() == {}
