"""Tokens that go on with a name, against a slow version that looks at every token and every name."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from lit_llm.catalogues import Catalogue, Node, Vocabulary, write_catalogue
from lit_llm.catalogues.catalogue import encoded
from lit_llm.catalogues.trie import LONGEST


def slow(names: list[bytes], tokens: list[bytes]) -> set[int]:
    """Return the tokens that some name goes on with, or that end one; whatever stands behind its quote."""
    return {
        number
        for number, token in enumerate(tokens)
        for name in names
        if token
        and ((len(token) <= LONGEST and name.startswith(token)) or (len(name) <= LONGEST and token.startswith(name)))
    }


def vocabulary(names: list[str], rng: random.Random) -> list[bytes]:
    """Return pieces of names, some with a quote and what may stand behind it, and the single bytes."""
    whole = [encoded(name) for name in names]
    pieces = {bytes([letter]) for letter in range(256)}
    for name in rng.sample(whole, min(60, len(whole))):
        start = rng.randrange(len(name))
        pieces.add(name[start : start + rng.randint(1, 20)])
        pieces |= {name[-rng.randint(1, 5) :] + end for end in (b"", b",", b'},{"', b"x")}
        pieces |= {name[start : start + 3] + b'\\"' + b"x", b'\\"', b'"', b'""'}
    return [b"", *sorted(pieces), b"Pan"]


@pytest.mark.parametrize("seed", range(3))
def test_tokens_are_those_of_a_slow_version_at_every_place(
    hostile: Catalogue, products: list[str], tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    write_catalogue(products, tmp_path / "p")
    for catalogue in (hostile, Catalogue(tmp_path / "p")):
        names = [catalogue.name(number) for number in range(len(catalogue))]
        tokens = vocabulary(names, rng)
        trie = Vocabulary(tokens)
        for name in rng.sample(names, 12):
            node, letters = Node.root(catalogue), encoded(name)
            for depth, letter in enumerate(letters):
                begun = [encoded(other)[depth:] for other in names if encoded(other).startswith(letters[:depth])]
                assert node.end - node.first == len(begun)
                if rng.random() < 0.3:
                    assert set(trie.following(node).tolist()) == slow(begun, tokens)
                further = node.down(letter)
                assert further is not None
                node = further
            assert node.end - node.first == 1
            assert catalogue.name(node.first) == name


def test_no_name_goes_on_with_another_letter(hostile: Catalogue) -> None:
    root = Node.root(hostile)
    allowed = {letter for letter in range(256) if root.down(letter)}
    assert allowed == {encoded(hostile.name(number))[0] for number in range(len(hostile))}


def test_what_was_found_once_is_found_again(hostile: Catalogue) -> None:
    trie = Vocabulary([bytes([letter]) for letter in range(256)])
    root = Node.root(hostile)
    assert trie.following(root) is trie.following(root)
