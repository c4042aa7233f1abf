"""Translation data: directions, varieties, cleaning, parallel files, and what reaches the model."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from lit_llm.batch import IGNORE
from lit_llm.data import TranslationData
from lit_llm.errors import ConfigError, DataError

PAIRS = [
    {"id": "a", "es": "La casa es grande.", "nah": "In calli huei.", "dialect": "clásico", "origin": "axolotl"},
    {"id": "b", "es": "No quiero.", "nah": "Amo nicnequi.", "document": "d1"},
    {"id": "c", "es": "Nació en la ciudad .", "nah": "Ōtlācat īpan āltepētl .", "dialect": "wiki"},
]


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def data(root: Path, stage: str = "fit", **settings: Any) -> TranslationData:
    module = TranslationData(**settings)
    module.tokenizer = AutoTokenizer.from_pretrained(root / "checkpoints" / "qwen3-tiny")
    module.setup(stage)
    return module


def test_both_directions_of_a_pair_stay_in_its_split(tmp_path: Path, root: Path) -> None:
    module = data(root, train=write(tmp_path / "t.jsonl", PAIRS))
    examples = module.splits["train"].examples
    assert [e.id for e in examples] == ["a/es-nah", "a/nah-es", "b/es-nah", "b/nah-es", "c/es-nah", "c/nah-es"]
    for forward, backward in zip(examples[::2], examples[1::2], strict=True):
        assert (forward.text, forward.answer) == (backward.answer, backward.text)
        assert forward.meta["pair"] == backward.meta["pair"]
    assert examples[0].meta == {"direction": "es-nah", "pair": "a", "dialect": "clásico", "origin": "axolotl"}
    assert examples[3].meta == {"direction": "nah-es", "pair": "b", "document": "d1"}


@pytest.mark.parametrize(
    ("row", "direction", "system"),
    [
        (0, "es-nah", "Eres traductor. Traduce del español al náhuatl (clásico). Responde solo con la traducción."),
        (0, "nah-es", "Eres traductor. Traduce del náhuatl (clásico) al español. Responde solo con la traducción."),
        (1, "es-nah", "Eres traductor. Traduce del español al náhuatl. Responde solo con la traducción."),
        (2, "es-nah", "Eres traductor. Traduce del español al náhuatl (wiki). Responde solo con la traducción."),
    ],
)
def test_the_prompt_names_the_variety_of_its_own_row(
    tmp_path: Path, root: Path, row: int, direction: str, system: str
) -> None:
    module = data(root, train=write(tmp_path / "t.jsonl", PAIRS[row : row + 1]), directions=[direction])
    encoded = module.splits["train"].rows[0].encoded
    prompt = module.format.tokenizer.decode(encoded.prompt_ids)
    assert f"<|im_start|>system\n{system}<|im_end|>" in prompt
    learned = module.format.tokenizer.decode([label for label in encoded.labels if label != IGNORE])
    expected = {"es-nah": PAIRS[row]["nah"], "nah-es": PAIRS[row]["es"]}[direction].replace(" .", ".")
    assert learned == f"{expected}<|im_end|>"


def test_prompts_and_examples_by_direction(tmp_path: Path, root: Path) -> None:
    module = data(
        root,
        train=write(tmp_path / "t.jsonl", PAIRS),
        prompts={"nah-es": "Al {target} desde {source}:"},
        shots={"nah-es": [["amo", "no"]]},
    )
    forward, backward = (
        module.format.tokenizer.decode(row.encoded.input_ids) for row in module.splits["train"].rows[:2]
    )
    assert "Eres traductor" in forward and "amo" not in forward
    assert "Al español desde náhuatl (clásico):" in backward
    assert "<|im_start|>user\namo<|im_end|>\n<|im_start|>assistant\nno<|im_end|>" in backward


def test_the_template_fingerprint_covers_prompts_and_examples(tmp_path: Path, root: Path) -> None:
    path = write(tmp_path / "t.jsonl", PAIRS)
    settings: list[dict[str, Any]] = [
        {},
        {"prompts": {"es-nah": "Traduce."}},
        {"shots": {"es-nah": [["no", "amo"]]}},
        {"languages": {"es": "castellano", "nah": "náhuatl"}},
    ]
    prints = {data(root, train=path, **setting).template_fingerprint() for setting in settings}
    assert len(prints) == len(settings)


def test_a_run_may_answer_in_one_of_its_directions(tmp_path: Path, root: Path) -> None:
    path = write(tmp_path / "t.jsonl", PAIRS)
    both, one = data(root, train=path), data(root, train=path, directions=["nah-es"])
    assert both.template_fingerprint() == one.template_fingerprint()


def test_cleaning_is_for_training_alone_and_counted(tmp_path: Path, root: Path) -> None:
    rows = [*PAIRS, {"es": "copia", "nah": "Copia"}, {"es": "sin par", "nah": ""}]
    path = write(tmp_path / "t.jsonl", rows)
    module = data(root, train=path, valid=path, directions=["es-nah"])
    assert [e.answer for e in module.splits["train"].examples] == [
        "In calli huei.",
        "Amo nicnequi.",
        "Ōtlācat īpan āltepētl.",
    ]
    assert [e.answer for e in module.splits["valid"].examples][2] == "Ōtlācat īpan āltepētl ."
    assert module.counts["train cleaned, detokenise"] == 2
    assert module.counts["train cleaned, copy"] == 1
    assert module.counts["train cleaned, empty"] == 1
    assert module.counts["valid without text or reference"] == 1
    assert len(module.splits["valid"]) == 4


def test_a_pair_counts_once_in_whatever_directions_it_is_learned(tmp_path: Path, root: Path) -> None:
    path = write(tmp_path / "t.jsonl", [*PAIRS, {"es": "copia", "nah": "Copia"}])
    one, both = data(root, train=path, directions=["es-nah"]), data(root, train=path)
    cleaned = {key: count for key, count in one.counts.items() if "cleaned" in key}
    assert cleaned == {key: count for key, count in both.counts.items() if "cleaned" in key}
    assert len(both.splits["train"]) == 2 * len(one.splits["train"])
    assert [e.answer for e in both.splits["train"].examples][5] == "Nació en la ciudad."


@pytest.mark.parametrize(
    ("row", "settings", "message"),
    [
        ({"spa": "hola", "nah": "niltze"}, {}, r"field 'es': is missing; there are 'spa', 'nah'"),
        (
            {"es": "hola", "nah": "niltze"},
            {"dialect_field": "variante"},
            r"field 'variante': is missing; there",
        ),
    ],
)
def test_a_misnamed_column_is_no_silent_loss(
    tmp_path: Path, root: Path, row: dict[str, str], settings: dict[str, str], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        data(root, train=write(tmp_path / "t.jsonl", [row]), **settings)


def test_instructions_by_direction(tmp_path: Path, root: Path) -> None:
    path = write(tmp_path / "t.jsonl", PAIRS)
    module = data(root, train=path, instructions={"nah-es": "Traduce: {text}"})
    first, second = [module.format.render(e.text, None, e.context) for e in module.splits["train"].examples[:2]]
    assert "Traduce:" not in first
    assert "Traduce: In calli huei." in second
    assert module.template_fingerprint() != data(root, train=path).template_fingerprint()


def test_a_number_may_name_a_document(tmp_path: Path, root: Path) -> None:
    module = data(root, train=write(tmp_path / "t.jsonl", [PAIRS[0] | {"document": 17}]))
    assert module.splits["train"].examples[0].meta["document"] == "17"


def test_text_without_a_reference_is_compared_between_splits(tmp_path: Path) -> None:
    rows = [{"id": "a", "nah": "in calli huei"}]
    module = TranslationData(predict=write(tmp_path / "p.jsonl", rows))
    assert [module.sides(e) for e in module.read_splits()["predict"]] == [{"nah": "in calli huei", "es": ""}]


def test_a_text_from_no_file_is_asked_as_rows_are(tmp_path: Path, root: Path) -> None:
    module = data(root, train=write(tmp_path / "t.jsonl", PAIRS[1:]), directions=["nah-es"])
    assert module.ask("Amo nicnequi.") == module.splits["train"].rows[0].encoded.prompt_ids


def test_parallel_text_files(tmp_path: Path, root: Path) -> None:
    (tmp_path / "t.es").write_text("La casa\nNo\n\n", encoding="utf-8")
    (tmp_path / "t.nah").write_text("In calli\nAmo\nNiltze\n", encoding="utf-8")
    module = data(root, train=str(tmp_path / "t.{lang}"), directions=["nah-es"])
    assert [(e.text, e.answer) for e in module.splits["train"].examples] == [("In calli", "La casa"), ("Amo", "No")]
    assert module.splits["train"].examples[1].place == f"{tmp_path / 't.es'}:2"


def test_composed_and_decomposed_input_give_the_same_ids(tmp_path: Path, root: Path) -> None:
    found = []
    for form in ("NFC", "NFD"):
        rows = [{k: unicodedata.normalize(form, v) for k, v in row.items()} for row in PAIRS]
        path = write(tmp_path / f"{form}.jsonl", rows)
        module = data(root, train=path, valid=path)
        found.append([row.encoded.input_ids for name in ("train", "valid") for row in module.splits[name].rows])
    assert found[0] == found[1]


def test_text_to_translate_needs_no_reference(tmp_path: Path, root: Path) -> None:
    path = write(tmp_path / "p.jsonl", [{"es": "Hola"}, {"es": "Adiós"}])
    module = data(root, "predict", predict=path, directions=["es-nah"])
    assert [(e.text, e.answer) for e in module.splits["predict"].examples] == [("Hola", None), ("Adiós", None)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"directions": ["es-fr"]}, r"directions: 'es-fr' is no direction; there are es-nah, nah-es"),
        ({"directions": ["es"]}, r"directions: 'es' is no direction"),
        ({"prompts": {"nah-fr": "x"}}, r"prompts: 'nah-fr' is no direction"),
        ({"shots": {"es-nah": [["solo"]]}}, r"shots: \['solo'\] is not a text and its translation"),
        ({"instructions": {"nah-fr": "x"}}, r"instructions: 'nah-fr' is no direction"),
        ({"system": "x"}, r"system: a translation's system turn depends on its direction; set prompts"),
        ({"test": {"valid": "x"}}, r"test: 'valid' is the name of a split"),
        ({"varied": "maya"}, r"varied: 'maya' is none of es, nah"),
    ],
)
def test_what_the_configuration_cannot_mean_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TranslationData(**settings)


@pytest.mark.parametrize(
    ("files", "train", "message"),
    [
        ({"t.jsonl": '{"spa": "hola"}\n'}, "t.jsonl", r"t\.jsonl:1: field 'es': is missing; there are 'spa'"),
        ({"t.es": "a\n", "t.nah": "b\nc\n"}, "t.{lang}", r"t\.es has 1 lines, .*t\.nah has 2 lines"),
        ({"t.es": "a\n"}, "t.{lang}", r"t\.nah: no such file"),
    ],
)
def test_malformed_files_are_named(tmp_path: Path, root: Path, files: dict[str, str], train: str, message: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        data(root, train=str(tmp_path / train))


def test_the_dev_rows_of_americasnlp(root: Path, real_data: Path) -> None:
    path = str(real_data / "data/translation/americasnlp_dev.jsonl")
    module = data(root, "test", test={"dev": path}, origin_field="source")
    examples = module.splits["dev"].examples
    assert len(examples) == 2 * 671
    assert module.counts["dev without text or reference"] == 2
    assert {e.meta["origin"] for e in examples} == {"americasnlp_dev"}


TSV = "id\tespañol\tnah\tvariante\n1\tHola.\tNiltze.\thuasteca\n2\tAdiós.\tTimoitase.\tclásico\n"


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        (TSV, {}, r"t\.tsv:2: field 'es': is missing from every row; .*'español', 'nah', 'variante'"),
        (TSV.replace("español", "es"), {"dialect_field": "dialecto"}, r"field 'dialecto': is missing from the header"),
        ("Hola.\tNiltze.\n", {}, r"field 'es': is missing|holds no records"),
        ('{"es": "a", "nahuatl": "b"}\n' * 2, {}, r"field 'nah': is missing from every row; did you mean 'nahuatl'"),
    ],
)
def test_a_column_that_is_not_there_is_named(tmp_path: Path, text: str, settings: dict[str, str], message: str) -> None:
    path = tmp_path / ("t.jsonl" if text.startswith("{") else "t.tsv")
    path.write_text(text, encoding="utf-8")
    for split in ("train", "valid"):
        data = TranslationData(**{split: str(path)}, **settings)
        with pytest.raises(DataError, match=message):
            data.read(path)


def test_plain_text_has_no_varieties(tmp_path: Path) -> None:
    for lang in ("es", "nah"):
        (tmp_path / f"t.{lang}").write_text("a\n")
    with pytest.raises(ConfigError, match=r"dialect_field: .* is plain text, which has no column 'variante'"):
        TranslationData(dialect_field="variante").read(tmp_path / "t.{lang}")


QUOTES = 'es\tnah\n"Hola, dijo.\tPiyali\nAdiós.\tTimoitase\nY se fue."\tYahqui\nuna "cita"\t"Kema."\n'


def test_quotes_between_tabs_are_letters(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "t.tsv").write_text(QUOTES.replace("\n", "\tx\n").replace("nah\tx", "nah\tfuente"), encoding="utf-8")
    data = TranslationData(directions=["es-nah"])
    with caplog.at_level("INFO"):
        found = data.read(tmp_path / "t.tsv")
    assert [(e.text, e.answer) for e in found] == [tuple(row.split("\t")) for row in QUOTES.splitlines()[1:]]
    assert "columns that are not read: fuente" in caplog.text


def test_a_pair_without_a_source_is_a_row_that_cannot_be_answered(tmp_path: Path) -> None:
    (tmp_path / "p.tsv").write_text("es\tnah\nhola\t\n\tniltze\n \t\nadiós\t\n", encoding="utf-8")
    data = TranslationData(predict=str(tmp_path / "p.tsv"), directions=["es-nah"])
    data.lenient = True
    rows = data.select("predict", data.read(tmp_path / "p.tsv"))
    assert [(row.id, row.text, bool(row.error)) for row in rows] == [
        ("p-2", "hola", False),
        ("p-3", "", True),
        ("p-4", "", True),
        ("p-5", "adiós", False),
    ]


def test_files_of_one_name_do_not_share_ids(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "test.tsv").write_text("es\tnah\nhola\tniltze\n")
    files = {folder: str(tmp_path / folder / "test.tsv") for folder in ("a", "b")}
    data = TranslationData(test=files, directions=["es-nah"])
    assert [data.read(Path(file))[0].id for file in files.values()] == ["a/test-2", "b/test-2"]
