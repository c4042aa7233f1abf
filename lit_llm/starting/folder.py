"""One folder, written whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lit_llm.errors import ConfigError


def check_target(target: Path, sources: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse a folder that cannot be written.

    Args:
        target: the folder.
        sources: files that are read, which must not be moved away with it.
        overwrite: whether a folder that is there may be moved aside.

    Raises:
        ConfigError: if it is a file, holds something, or holds what is read.
    """
    if target.exists() and not target.is_dir():
        raise ConfigError(f"--output: {target} is a file; name a folder")
    if not (target.is_dir() and any(target.iterdir())):
        return
    inside = [path for path in sources if target.resolve() in path.resolve().parents]
    if inside:
        raise ConfigError(f"--output: {target} holds {inside[0].name}, which is to be read; name another folder")
    if not overwrite:
        raise ConfigError(
            f"--output: {target} is there already and not empty; name another, or add --overwrite, which moves it aside"
        )


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """Give a folder to write into, which becomes ``target`` at the end; after an error nothing has changed.

    A folder that is in the way is moved aside to ``<name>.old``, ``<name>.old-2``, …, since it may hold a trained run.
    """
    made = [folder for folder in (target.parent, *target.parent.parents) if not folder.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield draft
        draft.chmod(0o777 & ~_umask())
        if target.exists():
            move_aside(target)
        draft.rename(target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        for folder in made:
            folder.rmdir()
        raise


def move_aside(target: Path) -> None:
    """Rename a folder so that its name is free; an empty one is removed."""
    if not any(target.iterdir()):
        target.rmdir()
        return
    names = [f"{target.name}.old", *(f"{target.name}.old-{number}" for number in range(2, 1000))]
    target.rename(next(path for name in names if not (path := target.with_name(name)).exists()))


def _umask() -> int:
    import os

    mask = os.umask(0)
    os.umask(mask)
    return mask
