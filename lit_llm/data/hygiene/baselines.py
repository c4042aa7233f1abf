"""What can be answered without a model: the commonest training answer, and that of the nearest training text."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from lit_llm.data.hygiene.neighbours import Nearness, Neighbours
from lit_llm.data.tokens.dataset import Example

COMMONEST, NEAREST = "commonest answer", "nearest training text"
"""What the two are called in tables and files."""

CLOSE = Nearness("cosine", 3, 5)
"""What near means unless somebody chooses."""


def commonest_answer(train: Sequence[Example]) -> str:
    """Return the commonest whole answer, the order of keys aside; of equally common ones the first."""
    forms = [json.dumps(example.reference, sort_keys=True) for example in train]
    (commonest, _), *_ = Counter(forms).most_common(1)
    return train[forms.index(commonest)].answer or ""


def nearest_answers(train: Sequence[Example], texts: Sequence[str], nearness: Nearness = CLOSE) -> list[str]:
    """Return for each text the answer of the nearest training text."""
    nearest = Neighbours([example.text for example in train], nearness).nearest(texts)
    return [train[index].answer or "" for index in nearest]
