"""Numbers keep their digits from a file to a target, and what a float cannot hold is refused."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from lit_llm.batch import as_text
from lit_llm.strict_json import JSONError, Written, dumps, loads


@pytest.mark.parametrize(
    "text",
    [
        *("0.00001", "1e-7", "1E+5", "12.50", "-0.0", "0.30000000000000000001", "1234567.123456789012345", "5e-324"),
        *(
            '[0.10,{"á":-2.500e3}]',
            '{"a":[],"b":{},"c":null,"d":true,"e":"\\"\\\\\\n\\u0001/ñ😀"}',
            "123456789012345678901",
        ),
    ],
)
def test_what_is_read_is_written_again(text):
    value = loads(text)
    for same in (value, pickle.loads(pickle.dumps(value)), copy.deepcopy(value)):
        assert dumps(same) == as_text(same) == text
    assert value == json.loads(text)


@pytest.mark.parametrize("text", ["1e400", "-1e400", "1e-400", "0.0001e-320", '[1, {"a": -5.5E-999}]'])
def test_numbers_that_no_float_holds_are_refused(text):
    with pytest.raises(JSONError, match=r"too (large|small) for a float; write it as a string"):
        loads(text)


@pytest.mark.parametrize("text", ["0", "0.0", "0e5", "-0.00", "0E-400"])
def test_zero_in_any_form_is_no_number_too_small(text):
    assert loads(text) == 0


def test_numbers_compute_as_numbers():
    value = loads("12.50")
    assert isinstance(value, Written)
    assert (value + 1, f"{value}", json.loads(json.dumps([value]))) == (13.5, "12.50", [12.5])


def test_letters_that_grammars_refuse_are_escaped():
    assert dumps({"a\x7f": "\x7f"}) == r'{"a\u007f":"\u007f"}'
