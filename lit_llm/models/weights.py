"""The files of a base as they lie in a folder, and whether they hold the weights that its configuration asks for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_llm.errors import ConfigError
from lit_llm.wording import some

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

KEY = "model.init_args.backbone"

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"

FOR_OTHERS = ["*/*"]
"""Copies of a hub's repository for other programs, which lie in folders such as ``original`` and ``onnx``."""

POINTER = b"version https://git-lfs"
"""What a file begins with that stands for another in a repository."""
_AGAIN = "download it again (of a git clone, run `git lfs pull` in it)"
_SHOWN = 3
_LAYER = re.compile(r"\.(?:layers|h|blocks)\.(\d+)\.")


def names(folder: Path) -> list[str]:
    """Return the names of the files that transformers reads weights from, of which not all may be there.

    Raises:
        ConfigError: if the index cannot be read.
    """
    index = folder / INDEX
    if (folder / SINGLE).is_file() or not index.is_file():
        return [SINGLE]
    try:
        return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ConfigError(f"{KEY}: {index} is no index of weights ({error}): {_AGAIN}") from error


def weight_files(folder: Path) -> list[Path]:
    """Return the files that transformers reads weights from; none where there is neither file nor index.

    Raises:
        ConfigError: if the index cannot be read, or names a file that is not there.
    """
    wanted = names(folder)
    absent = [name for name in wanted if not (folder / name).is_file()]
    if absent and wanted != [SINGLE]:
        raise ConfigError(f"{KEY}: {folder} lacks {some(absent, _SHOWN)}, which {INDEX} names: {_AGAIN}")
    return [] if absent else [folder / name for name in wanted]


def refuse_broken(folder: Path, *, weights: bool) -> None:
    """Refuse a folder whose files are not what their names say.

    Args:
        folder: of a base or a tokenizer; one that is not there is passed over.
        weights: whether the weights are looked at too, their headers alone.

    Raises:
        ConfigError: if a file is empty, cut, or a pointer of git-lfs.
    """
    if not folder.is_dir():
        return
    for file in sorted(folder.glob("*.json")) + sorted(folder.glob("*.model")):
        if fault := _fault_of_start(file):
            raise ConfigError(f"{KEY}: {file} {fault}: {_AGAIN}")
    for file in weight_files(folder) if weights else []:
        if fault := _fault_of_start(file) or _fault_of_weights(file):
            raise ConfigError(f"{KEY}: {file} {fault}: {_AGAIN}")


def refuse_other_weights(backbone: str, config: Any, loaded: Mapping[str, Any]) -> None:
    """Refuse a base whose weights are not those that its configuration describes.

    Args:
        backbone: hub id or folder.
        config: its configuration.
        loaded: what transformers found while loading: keys missing, unexpected, and of another shape.

    Raises:
        ConfigError: if there are any, naming their layers.
    """
    found = [
        ("has no weights for", list(loaded.get("missing_keys", ())), "which would stay random"),
        ("holds weights that its config.json does not speak of:", list(loaded.get("unexpected_keys", ())), ""),
        ("has weights of other shapes than its config.json says:", _shapes(loaded.get("mismatched_keys", ())), ""),
    ]
    wrong = [f"{what} {_places(keys)}{f', {note}' * bool(note)}" for what, keys, note in found if keys]
    if wrong:
        depth = getattr(config.get_text_config(), "num_hidden_layers", None)
        raise ConfigError(
            f"{KEY}: {backbone!r} {'; it '.join(wrong)} (config.json: {depth} layers): use the config.json that "
            f"belongs to the weights, or {_AGAIN}"
        )


def unembedded(tokenizer: PreTrainedTokenizerBase, size: int) -> tuple[str, int] | None:
    """Return the first token that a prompt may hold and the embedding has no row for, with its id; None without one.

    Special tokens that are no one's part (of images, say) come up in no text, and do not count.

    Args:
        tokenizer: of the base.
        size: rows of its embedding.
    """
    beyond = {token: at for token, at in tokenizer.get_vocab().items() if at >= size}
    parts = {tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token, tokenizer.unk_token}
    special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    written = str(tokenizer.chat_template or "")
    counted = [(at, token) for token, at in beyond.items() if token not in special - parts or token in written]
    return min(counted)[::-1] if counted else None


def refuse_larger(tokenizer: PreTrainedTokenizerBase, size: int, backbone: str) -> None:
    """Refuse a tokenizer with tokens that the embedding of a base has no row for.

    Raises:
        ConfigError: naming token, id and size.
    """
    if found := unembedded(tokenizer, size):
        token, at = found
        roles = [name for name in ("pad_token", "eos_token", "bos_token") if getattr(tokenizer, name) == token]
        note = f", its {roles[0]}," if roles else ""
        raise ConfigError(
            f"{KEY}: the tokenizer {tokenizer.name_or_path!r} has the token {token!r}{note} with id {at}, and the "
            f"embedding of {backbone!r} has {size} rows (ids 0 to {size - 1}): take the token out of the tokenizer"
            f"{' and let pad_token be one that is there' if roles[:1] == ['pad_token'] else ''}, or name the tokenizer "
            "that belongs to the base in model.init_args.loading.tokenizer"
        )


def _fault_of_start(file: Path) -> str:
    with file.open("rb") as stream:
        start = stream.read(len(POINTER))
    if start == POINTER:
        return "is a pointer of git-lfs and not the file itself"
    return "" if start else "is empty"


def _fault_of_weights(file: Path) -> str:
    """Say how a file differs from what its header announces."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(size - 8, 1 << 30):
            return f"is cut or no safetensors file: it has {size:,} bytes"
        try:
            header = json.loads(stream.read(length))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            return "is no safetensors file: its header cannot be read"
    if not ends:
        return "holds no weights"
    whole = 8 + length + max(ends)
    return "" if size == whole else f"is cut: it has {size:,} of {whole:,} bytes" if size < whole else "is too long"


def _shapes(mismatched: Iterable[Any]) -> list[str]:
    """Return entries ``(key, shape in the file, shape in the model)`` as words that begin with the key."""
    return [f"{key} {list(stored)} and not {list(wanted)}" for key, stored, wanted in mismatched]


def _places(keys: list[str]) -> str:
    """Return keys in words, those of layers by the layers' numbers."""
    layers = sorted({int(found[1]) for key in keys if (found := _LAYER.search(key))})
    first = sorted(keys)[0]
    if not layers:
        return some(sorted(keys), _SHOWN)
    numbers = f"layer {layers[0]}" if len(layers) == 1 else f"layers {_spans(layers)}"
    return f"{numbers} ({len(keys)} of them, such as {first})"


def _spans(numbers: list[int]) -> str:
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in spans)
