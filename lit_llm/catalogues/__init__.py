"""Catalogues: closed lists of names that the values of a field are taken from, of any size, on disk."""

from lit_llm.catalogues.catalogue import Catalogue, Near
from lit_llm.catalogues.paths import FieldPath, changed_at, field_path, path_name
from lit_llm.catalogues.settling import Missing, Rule, Settled, names_at, rules_of, settle
from lit_llm.catalogues.trie import Node, Vocabulary
from lit_llm.catalogues.writing import write_catalogue

__all__ = [
    "Catalogue",
    "FieldPath",
    "Missing",
    "Near",
    "Node",
    "Rule",
    "Settled",
    "Vocabulary",
    "changed_at",
    "field_path",
    "names_at",
    "path_name",
    "rules_of",
    "settle",
    "write_catalogue",
]
