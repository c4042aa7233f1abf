"""What jsonargparse has to say about one option, in a line with the remedy."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from lit_llm.arguments.foreign import find as foreign
from lit_llm.arguments.own_classes import fault
from lit_llm.arguments.run_files import SUFFIXES

WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    NoneType: "null",
    Any: "anything",
}
MAX_LINES = 12
EXAMPLE = "configs/run/extraction_tiny.yaml"


@dataclasses.dataclass(frozen=True)
class Problem:
    """What is wrong with one key.

    Attributes:
        key: with dots.
        text: what is wrong, and the remedy.
        needle: the word that is wrong, as it stands in a run file.
        absent: a file that is not there, relative to the one that names it.
        beside: whether the key stands beside ``init_args``, not among them.
    """

    key: str
    text: str
    needle: str | None = None
    absent: str | None = None
    beside: bool = False


def explain(parser: argparse.ArgumentParser, owner: Any, key: str, message: str) -> Problem:
    """Return what an error is about.

    Args:
        parser: the innermost one that raised it, which knows all right options.
        owner: class whose arguments it reads; None for the options of a verb.
        key: the option, as far as the parser knows.
        message: what jsonargparse says.
    """
    if (broken := fault(message)) and not message.startswith("unrecognized"):
        path, why = broken
        return Problem(key, why, path)
    if problem := _unknown(parser, owner, message) or _absent(owner, key, message) or _wrong_path(key, message):
        return problem
    hint = next((getattr(action, "_typehint", None) for action in parser._actions if action.dest == key), None)
    return _wrong_class(key, hint, message) or _wrong_value(key, hint, message) or Problem(key, _shortened(message))


def nearest(name: str, options: Iterable[str]) -> str | None:
    """Return the option that a mistyped or shortened name probably means; upper case counts as lower."""
    lowered = {option.lower(): option for option in options}
    longer = sorted((option for option in lowered if len(name) > 2 and option.startswith(name.lower())), key=len)
    near = longer or get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)
    return lowered[near[0]] if near else None


def public_name(kind: Any) -> str:
    """Return the shortest path by which a class can be imported, such as ``lit_llm.adapters.LoRA``."""
    name: str = getattr(kind, "__name__", str(kind))
    parts = str(getattr(kind, "__module__", "")).split(".")
    prefixes = [".".join(parts[: count + 1]) for count in range(len(parts))]
    homes = [home for home in prefixes if getattr(sys.modules.get(home), name, None) is kind]
    return f"{homes[0]}.{name}" if homes and homes[0] != "builtins" else name


def in_words(hint: Any) -> str:
    """Return what a type hint accepts, in words of YAML."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        choices = [arg for part in inner for arg in (get_args(part) if get_origin(part) is Literal else ())]
        others = [in_words(part) for part in inner if get_origin(part) is not Literal]
        return " or ".join(dict.fromkeys([*([_choices(choices)] if choices else []), *others]))
    if origin is Literal:
        return _choices(list(inner))
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        return f"a mapping of {in_words(inner[0])} to {in_words(inner[1])}"
    if origin in (list, tuple, set):
        return f"a list of {in_words(inner[0])}"
    return WORDS.get(hint) or (f"a class_path of {public_name(hint)}" if inspect.isclass(hint) else str(hint))


def _choices(values: list[Any]) -> str:
    listed = ", ".join(dict.fromkeys(str(value) for value in values))
    return f"one of {listed}" if len(values) > 1 else listed


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            verbs: Any = action.choices
            yield from _options(verbs[sys.argv[1] if sys.argv[1] in verbs else "fit"])
        elif not action.dest.startswith(("config", "print_")) and not action.dest.endswith("help"):
            yield action.dest


def _unknown(parser: argparse.ArgumentParser, owner: Any, message: str) -> Problem | None:
    """Explain a key that is no option."""
    found = re.search(r"(?:(?:Group|Subcommand) '([\w.]+)' does not accept option|Option) '([^']+)'", message)
    if found:
        name = ".".join(part for part in found.groups() if part and part != "fit")
    elif message.startswith("unrecognized arguments: "):
        name = message.partition(": ")[2].split()[0].partition("=")[0].removeprefix("--")
    else:
        return None
    if owner and name in ("class_path", "init_args"):
        return Problem(
            name, "must stand beside nothing but class_path and init_args; move the others into init_args", beside=True
        )
    whose = f" of {public_name(owner)}" if owner else ""
    remedy = _right_option(parser, owner, name)
    return Problem(name, f"not an option{whose}; {remedy}", beside=remedy.endswith(("'class_path'?", "'init_args'?")))


def _right_option(parser: argparse.ArgumentParser, owner: Any, name: str) -> str:
    """Return the nearest option, or else the classes that have one of this name, or else all options."""
    last = name.rpartition(".")[2]
    classes = [public_name(kind) for kind in _classes() if last in _arguments(kind)]
    if (owner or last != name) and not classes and (here := foreign(last, _typed_value(last))):
        return f"type {here.said(_typed_value(last))}"
    options = list(dict.fromkeys(_options(parser)))
    firsts = {option.partition(".")[0] for option in options}
    first, _, rest = name.partition(".")
    if first not in firsts and rest:
        near = nearest(first, firsts)
        return f"did you mean '{near}.{rest}'?" if near else f"the options are {', '.join(sorted(firsts))}"
    extra = ("class_path", "init_args") if owner else ()
    near = nearest(name, [option for option in options if not rest or option.startswith(f"{first}.")] + list(extra))
    if near:
        return f"did you mean '{near}'?"
    if classes:
        return f"it is an option of {', '.join(classes[:3])}"
    return f"the options are {_clipped(', '.join(options if owner else sorted(firsts)))}"


def _typed_value(name: str) -> str:
    """Return the value typed for an option, found by the last part of its name; nothing where it stands in a file."""
    for word, following in zip(sys.argv, [*sys.argv[1:], ""], strict=False):
        typed, equals, value = word.partition("=")
        if typed.rpartition(".")[2] == name:
            return value if equals else following
    return ""


def _absent(owner: Any, key: str, message: str) -> Problem | None:
    """Explain an option that is required."""
    if found := re.search(r"arguments are required: (.+)", message):
        names = ", ".join(name.removeprefix("fit.") for name in found[1].split(", "))
        remedy = f"{public_name(owner)} needs it" if owner else f"name a run file, such as --config {EXAMPLE}"
        return Problem(names, f"not set; {remedy}")
    if found := re.search(r"argument (?:\S+/)?--([\w.]+): expected", message):
        # Of an option within another, argparse names the outer one.
        typed = [word[2:] for word in sys.argv if word.startswith(f"--{found[1]}")]
        return Problem(typed[-1] if typed else found[1], "needs a value after it")
    if key and "is required" in message:
        return Problem(key, f"not set; {public_name(owner) if owner else 'the verb'} needs it")
    return None


def _wrong_path(key: str, message: str) -> Problem | None:
    """Explain a run file or fragment that is not there."""
    found = re.search(r"Expected a path but (.+) either not accessible|File does not exist: '(.+)'", message)
    value = (found[1] or found[2]) if found else ""
    if not value.endswith(SUFFIXES):
        return None
    return Problem(key, f"there is no file {value}", value, absent=value)


def _wrong_class(key: str, hint: Any, message: str) -> Problem | None:
    """Explain a class that is not there, or is none of its kind."""
    patterns = (
        r"Import path ([\w.]+) does not correspond",
        r"Problem with given class_path '([^']+)'",
        r"expects a function or a callable class: .*class_path='([^']+)'",
        r"Expected a dot import path string: ([\w.]+)",
        r"Unexpected import path format: (\S+)",
    )
    path = next((found[1] for pattern in patterns if (found := re.search(pattern, message))), None)
    bases = [part for part in _parts(hint) if inspect.isclass(part) and part not in WORDS]
    if path is None or not bases or set(_parts(hint)) & {str, int, float, bool}:
        return None
    kinds = [public_name(kind) for kind in _classes() if issubclass(kind, tuple(bases)) and kind not in bases[:1]]
    home, _, name = path.rpartition(".")
    module = sys.modules.get(home)
    wrong = f"{path} is no {public_name(bases[0])}" if hasattr(module, name) else f"there is no class {path}"
    if module and not hasattr(module, name):
        kinds += [f"{home}.{other}" for other, kind in vars(module).items() if inspect.isclass(kind)]
    near = nearest(name, [kind.rpartition(".")[2] for kind in kinds])
    full = next((kind for kind in kinds if kind.rpartition(".")[2] == near), None)
    remedy = f"did you mean {full}?" if full else f"choose from {_clipped(', '.join(kinds))}" if kinds else "check it"
    return Problem(key if key.endswith("class_path") else f"{key}.class_path", f"{wrong}; {remedy}", path)


def _wrong_value(key: str, hint: Any, message: str) -> Problem | None:
    """Explain a value of another type, or none of the choices."""
    given = re.search(r"Given value: (.*)", message, re.DOTALL) or re.search(r"Got value: (.*)", message, re.DOTALL)
    if hint is None or given is None:
        return None
    if beside := re.match(r"\{'class_path': '[^']*', '(?!init_args|dict_kwargs)(\w+)'", given[1]):
        return Problem(f"{key}.{beside[1]}", "stands beside class_path; move it into init_args")
    deepest = re.search(r"Got value: (.*)", message) or given
    choices = [str(choice) for part in _parts(hint) if get_origin(part) is Literal for choice in get_args(part)]
    near = nearest(given[1], choices)
    quoted = f'"{given[1]}"' if hint is str and len(given[1]) < 40 else None
    remedy = f"; did you mean '{near}'?" if near else f"; write {quoted}" if quoted else ""
    return Problem(key, f"must be {in_words(hint)}, got {_clipped(given[1])}{remedy}", deepest[1])


def _parts(hint: Any) -> list[Any]:
    """Return the alternatives of a type hint, those of its lists and what its callables return included."""
    if get_origin(hint) in (Union, UnionType, list):
        return [part for inner in get_args(hint) for part in _parts(inner)]
    if hint is not None and getattr(get_origin(hint), "__name__", "") == "Callable":
        return [get_args(hint)[-1]]
    return [hint]


def _classes() -> list[type]:
    """Return the classes that a run file may name."""
    from lit_llm import adapters, callbacks, data, generation, metrics, models

    rooms: tuple[Any, ...] = (adapters, callbacks, data, generation, metrics, models)
    found = [getattr(room, name) for room in rooms for name in room.__all__]
    return [kind for kind in found if inspect.isclass(kind) and not _is_abstract(kind)]


def _is_abstract(kind: type) -> bool:
    return any(getattr(getattr(kind, name, None), "__isabstractmethod__", False) for name in dir(kind))


def _arguments(kind: type) -> set[str]:
    """Return the constructor arguments of a class and of those above it, to which it may pass them on."""
    return {name for above in kind.__mro__[:-1] for name in inspect.signature(above).parameters}


def _shortened(message: str) -> str:
    lines = [line.strip(" -")[:200] for line in message.splitlines() if line.strip(" -")]
    noise = ("Subtypes:", "Errors:", "Expected a <class 'NoneType'>", "Given value type:", "Does not validate")
    telling = [line for line in lines if not line.startswith(noise) and "NestedArg" not in line] or lines
    more = ["LIT_LLM_DEBUG=1 shows more"] if len(telling) < len(lines) or len(telling) > MAX_LINES else []
    return "\n".join([*telling[: MAX_LINES - 1], *more])


def _clipped(text: str, limit: int = 160) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else f"{text[:limit]}…"
