from lit_llm.metrics import FieldScore, field_table


def test_table_is_sorted_and_sums_up():
    lines = field_table({"b|c": FieldScore(1, 1, 0), "a[]": FieldScore(2, 0, 2)}).splitlines()
    assert lines[2] == "| a[] | 4 | 2 | 0 | 2 | 0.667 |"
    assert lines[3] == "| b\\|c | 1 | 1 | 1 | 0 | 0.667 |"
    assert lines[4] == "| **all** | 5 | 3 | 1 | 2 | 0.667 |"


def test_an_empty_table_has_a_sum():
    assert field_table({}).splitlines()[-1] == "| **all** | 0 | 0 | 0 | 0 | 1.000 |"
