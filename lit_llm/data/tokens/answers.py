"""What keeps an answer from being learned as it is written."""

from __future__ import annotations


def altered(answer: str, written: str, before: str, behind: str) -> str | None:
    """Say how a template changes an answer, so that other text would be learned in silence; None where it does not.

    Args:
        answer: the answer.
        written: what the conversation has behind the prompt.
        before: what the template writes there before any answer.
        behind: what it writes behind it.
    """
    if written == f"{before}{answer}{behind}":
        return None
    kept = written.removeprefix(before).removesuffix(behind)
    if kept.strip() != answer.strip():
        return f"the chat template writes the answer {answer[:40]!r} as {kept[:40]!r}: use another template"
    begins = not kept.startswith(answer[:1])
    end = "begins" if begins else "ends"
    lost = answer[: len(answer) - len(answer.lstrip())] if begins else answer[len(answer.rstrip()) :]
    return (
        f"the answer {answer[:40]!r} {end} with white space {lost!r}, which the chat template takes off, so that it "
        "would not be learned: take it off in the data"
    )


def straddling(token: str, answer: str) -> str:
    """Say what to do about a token that begins in the prompt and ends in the answer."""
    if answer[:1].isspace():
        return (
            f"the answer {answer[:40]!r} begins with white space, which makes one token {token!r} with the end of the "
            "prompt, so that it could not be learned alone: take it off in the data"
        )
    return (
        f"token {token!r} straddles the end of the prompt and the answer {answer[:40]!r}: "
        "end the instruction or template with a newline or a control token"
    )
