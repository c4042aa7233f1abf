"""Classes of the user's own that a run file names: why their file cannot be imported, and where in it."""

from __future__ import annotations

import importlib
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

NAMED = re.compile(
    r"class_path(?:'?: |=|'? )'([\w.]+)'|[Ii]mport path:? ([\w.]+)|Expected a dot import path string: ([\w.]+)"
)


def fault(message: str) -> tuple[str, str] | None:
    """Return the first class of a message that cannot be had, and why not.

    Args:
        message: what jsonargparse says, which calls such a class one that is not there.
    """
    for path in dict.fromkeys(name for found in NAMED.findall(message) for name in found if "." in name):
        home, _, name = path.rpartition(".")
        why = "" if home in sys.modules else _why_not(home)
        if missing := getattr(getattr(sys.modules.get(home), name, None), "__abstractmethods__", ()):
            why = f"{path} is not complete: it lacks {', '.join(sorted(missing))}"
        if why:
            return path, why
    return None


def _why_not(home: str) -> str:
    """Return why a module cannot be imported; nothing where it can, or where a package has none of this name."""
    try:
        importlib.import_module(home)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{home}.".startswith(f"{error.name}."):
            return _told(home, error)
        return (
            ""
            if "." in error.name
            else f"there is no module {error.name} in {Path.cwd()} or installed{_near(error.name)}"
        )
    except Exception as error:
        return _told(home, error)
    return ""


def _told(home: str, error: Exception) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        place, text = f"{_short(error.filename)}:{error.lineno}", error.msg
    else:
        frames = list(_own_frames(error))
        place = f"{_short(frames[-1].filename)}:{frames[-1].lineno}" if frames else home
        text = " ".join(str(error).split())
    return f"{home} cannot be imported: {type(error).__name__}: {text} ({place})"


def _own_frames(error: Exception) -> Iterator[traceback.FrameSummary]:
    """Yield the frames that are neither of Python, of installed packages, nor of this file."""
    libraries = {sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")}
    for frame in traceback.extract_tb(error.__traceback__):
        if not frame.filename.startswith((*libraries, "<frozen", __file__)):
            yield frame


def _short(filename: str) -> str:
    path = Path(filename)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else filename


def _near(name: str) -> str:
    present = [path.stem for path in (*Path().glob("*.py"), *(found.parent for found in Path().glob("*/__init__.py")))]
    near = get_close_matches(name, present, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""
