"""The tiny base's pre-training text: repeatable, learnable, and apart from everything that is measured later."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
ORDERS = ROOT / "configs" / "data" / "orders"
SCRIPTS = str(ROOT / "scripts" / "tiny_base")
NAMES = ("make_tiny_corpus", "make_tiny_base", "tiny_corpus_domains", "tiny_corpus_ledgers", "tiny_corpus_values")
FIXED = ("tiny_corpus_domains", "tiny_corpus_ledgers")


@pytest.fixture(scope="module")
def scripts() -> Iterator[dict[str, ModuleType]]:
    """The scripts as modules; they import each other from their own folder."""
    sys.path.insert(0, SCRIPTS)
    yield {name: __import__(name) for name in NAMES}
    sys.path.remove(SCRIPTS)


@pytest.fixture(scope="module")
def sample(scripts: dict[str, ModuleType]) -> list[dict[str, Any]]:
    corpus = scripts["make_tiny_corpus"]
    return list(corpus.rows(4000, 11, corpus.names_to_avoid(ORDERS / "vocabulary.json")))


def leaves(tree: Any) -> Iterator[Any]:
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, list):
        for item in tree:
            yield from leaves(item)
    else:
        yield tree


def keys_of(tree: Any) -> set[str]:
    if isinstance(tree, dict):
        return set(tree) | {key for value in tree.values() for key in keys_of(value)}
    return {key for item in tree for key in keys_of(item)} if isinstance(tree, list) else set()


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def wording(scripts: dict[str, ModuleType], template: str) -> str:
    """What a template says, whatever its slots are called and however it is punctuated."""
    bare = scripts["make_tiny_corpus"].plain_letters(re.sub(r"\{\w*\}", " 0 ", template)).lower()
    return " ".join(re.findall(r"[a-zñ0]+", bare))


def test_same_seed_gives_the_same_rows_and_another_seed_does_not(scripts: dict[str, ModuleType]) -> None:
    rows = scripts["make_tiny_corpus"].rows
    assert list(rows(50, 3)) == list(rows(50, 3))
    assert list(rows(50, 3)) != list(rows(50, 4))


def test_copied_strings_stand_in_the_text(sample: list[dict[str, Any]]) -> None:
    found = total = 0
    for row in sample:
        for leaf in leaves(row["json"]):
            if isinstance(leaf, str) and not re.fullmatch(r"\d{4}-\d\d-\d\d|\d\d:\d\d", leaf):
                total += 1
                found += all(part in row["text"] for part in leaf.split())
    assert total > 4000
    assert found == total


def test_every_kind_of_row_fits_its_text(scripts: dict[str, ModuleType]) -> None:
    corpus = scripts["make_tiny_corpus"]
    for maker in corpus.MIX:
        rng = random.Random(5)
        for _ in range(50):
            row = corpus.dress(*maker(rng), rng)
            assert row["text"].strip() and row["json"], maker.__name__
            json.dumps(row, allow_nan=False)


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [("dia", r"\d{4}-\d\d-\d\d"), ("hora", r"\d\d:\d\d")],
)
def test_normalised_strings_have_one_form(scripts: dict[str, ModuleType], kind: str, pattern: str) -> None:
    rng = random.Random(1)
    made = [scripts["tiny_corpus_values"].KINDS[kind](rng) for _ in range(200)]
    assert all(re.fullmatch(pattern, value.target) for value in made)
    assert len({re.sub(r"\d", "0", value.text) for value in made}) > 3


def test_amounts_can_be_read_in_one_way(scripts: dict[str, ModuleType]) -> None:
    """A mark before exactly three digits groups thousands; any other mark is the decimal one."""
    rng = random.Random(2)
    for _ in range(2000):
        value = scripts["tiny_corpus_values"].decimal(rng)
        digits = value.text.lstrip("$ ")
        head, mark, tail = re.fullmatch(r"(.*?)(?:([.,])(\d{1,2}))?", digits).groups(default="")
        assert float(re.sub(r"[^\d]", "", head) + (f".{tail}" if mark else "")) == value.target, value


@pytest.mark.parametrize(("number", "words"), [(0, "cero"), (21, "veintiuno"), (45, "cuarenta y cinco"), (100, "cien"),
                                               (101, "ciento uno"), (580, "quinientos ochenta")])  # fmt: skip
def test_numbers_are_spelled(scripts: dict[str, ModuleType], number: int, words: str) -> None:
    assert scripts["tiny_corpus_values"].spelled(number) == words


def test_no_wording_is_shared_with_the_orders(scripts: dict[str, ModuleType]) -> None:
    vocabulary = json.loads((ORDERS / "vocabulary.json").read_text(encoding="utf-8"))
    groups = vocabulary["clauses"].values()
    theirs = {wording(scripts, t) for clauses in groups for forms in clauses.values() for t in forms}
    ours = {wording(scripts, t) for file in FIXED for t in scripts[file].fixed_templates()}
    shared = {text for text in ours & theirs if re.search("[a-zñ]", text)}
    assert len(theirs) > 100
    assert shared == set()


def test_no_key_is_shared_with_a_demonstration(scripts: dict[str, ModuleType], sample: list[dict[str, Any]]) -> None:
    orders = {key for row in records(ORDERS / "train.jsonl") for key in keys_of(row["json"])}
    assert orders
    assert not orders & {key for file in FIXED for key in scripts[file].fixed_keys()}
    assert not orders & {key for row in sample for key in keys_of(row["json"])}


def test_no_key_is_shared_with_the_real_data(scripts: dict[str, ModuleType]) -> None:
    if "LIT_LLM_REAL_DATA" not in os.environ:
        pytest.skip("LIT_LLM_REAL_DATA is not set")
    files = (Path(os.environ["LIT_LLM_REAL_DATA"]) / "data" / "extraction").glob("*.jsonl")
    theirs = {key for file in files for row in records(file) for key in keys_of(row["json"])}
    assert {"intent", "slots"} <= theirs
    assert not theirs & {key for file in FIXED for key in scripts[file].fixed_keys()}


def test_no_row_names_what_the_orders_name(scripts: dict[str, ModuleType], sample: list[dict[str, Any]]) -> None:
    """Products of every split, as whole words of a text or a target."""
    corpus = scripts["make_tiny_corpus"]
    lists = itertools.chain.from_iterable(
        row["json"]["items"] for file in ORDERS.glob("*.jsonl") for row in records(file)
    )
    products = {" ".join(corpus.bare_words(item["prod"])) for item in lists}
    text = "\n".join(f" {' '.join(corpus.bare_words(json.dumps(row, ensure_ascii=False)))} " for row in sample)
    assert len(products) > 100
    assert [name for name in products if f" {name} " in text] == []


def test_a_forbidden_root_or_name_is_seen_in_any_dress(scripts: dict[str, ModuleType]) -> None:
    corpus = scripts["make_tiny_corpus"]
    assert corpus.is_allowed({"text": "sala B7", "json": {"sala": "B7"}})
    assert not corpus.is_allowed({"text": "SÚ PRECIÓ 3", "json": {}})
    assert not corpus.is_allowed(
        {"text": "x", "json": {"v": "una Lámpara de MESA"}}, frozenset({("lampara", "de", "mesa")})
    )


def test_a_word_has_the_same_tokens_wherever_it_stands(
    scripts: dict[str, ModuleType], sample: list[dict[str, Any]], tmp_path: Path
) -> None:
    """After a space, a quote or a bracket: so that copying repeats tokens exactly."""
    file = tmp_path / "corpus.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in sample[:1500]), encoding="utf-8")
    tokenizer = scripts["make_tiny_base"].make_tokenizer(file, 1500)
    for word in ("maricena", "Tlalpuente", "árbol", "QUO", "niñez"):
        alone = tokenizer.encode(word).tokens
        for before in (" ", '"', "(", "\n"):
            assert tokenizer.encode(f"un{before}{word}").tokens[-len(alone) :] == alone
    assert tokenizer.encode("1250").tokens == list("1250")
    assert tokenizer.decode(tokenizer.encode("¡Ándale, niño! 3 €").ids) == "¡Ándale, niño! 3 €"


CONVERSATIONS = [
    [{"role": "user", "content": "hola"}],
    [{"role": "system", "content": "s"}, {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
    [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "<think>\nh\n</think>\n\nb"},
        {"role": "user", "content": "c"},
        {"role": "assistant", "content": "<think>\nq\n</think>\n\nd"},
    ],
    [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "reasoning_content": "hm"}],
]


@pytest.mark.parametrize("conversation", CONVERSATIONS)
@pytest.mark.parametrize("options", [{}, {"enable_thinking": False}, {"enable_thinking": True}])
@pytest.mark.parametrize("generation", [False, True])
def test_the_template_thinks_as_qwen3_does(
    scripts: dict[str, ModuleType], conversation: list[dict[str, str]], options: dict[str, bool], generation: bool
) -> None:
    if "LIT_LLM_REAL_DATA" not in os.environ:
        pytest.skip("LIT_LLM_REAL_DATA is not set")
    from transformers.utils.chat_template_utils import render_jinja_template

    folder = Path(os.environ["LIT_LLM_REAL_DATA"]) / "tokenizers" / "qwen3"
    real = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    ours, theirs = (
        render_jinja_template([conversation], chat_template=t, add_generation_prompt=generation, **options)[0]
        for t in (scripts["make_tiny_base"].CHAT_TEMPLATE, real)
    )
    assert ours == theirs


@pytest.mark.parametrize("family", ["qwen3", "qwen3_5"])
def test_the_shape_fits_group_quantization(scripts: dict[str, ModuleType], family: str) -> None:
    config = scripts["make_tiny_base"].make_config(family)
    widths = (config.vocab_size, config.hidden_size, config.intermediate_size)
    assert config.model_type.startswith(family)
    assert all(width % 128 == 0 for width in widths)
    assert config.head_dim == 128
    assert config.num_attention_heads > config.num_key_value_heads
    assert config.tie_word_embeddings


def test_families_that_are_compared_are_of_one_size(scripts: dict[str, ModuleType]) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    maker = scripts["make_tiny_base"]
    with torch.device("meta"):
        models = [AutoModelForCausalLM.from_config(maker.make_config(family)) for family in maker.FAMILIES]
    small, large = sorted(model.num_parameters() for model in models)
    assert large <= 1.05 * small
