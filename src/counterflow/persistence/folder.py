"""A folder that holds one object as plain data: JSON for its settings, safetensors for its numbers, no pickle.

The folder holds ``manifest.json``, which names the kind, the format and the sha256 of the two other files,
``config-<hash>.json`` and ``tensors-<hash>.safetensors``. Their names carry their hash, so that new content never
overwrites old content: the single rename of the manifest switches from one to the other, and what the manifest no
longer names is removed afterwards. Whatever fails before that rename, the folder still holds the old object, whole.
Other files in the folder are left alone.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from counterflow import __version__
from counterflow.core.errors import PersistenceError
from counterflow.persistence.atomic import atomic_write
from counterflow.persistence.manifest import FORMAT, MANIFEST, checked_hashes, damaged, read_bytes
from counterflow.persistence.plain import plain_data

__all__ = ["SavedFolder", "join_parts", "load_folder", "save_folder"]

_SUFFIXES = {"config": ".json", "tensors": ".safetensors"}


class SavedFolder(NamedTuple):
    """What a folder held: ``config, tensors = load_folder(path, kind)``."""

    config: dict[str, Any]
    tensors: dict[str, Tensor]

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors called ``<name>.<rest>``, as ``{rest: tensor}``: the inverse of :func:`join_parts`."""
        prefix = name + "."
        return {key.removeprefix(prefix): value for key, value in self.tensors.items() if key.startswith(prefix)}


def join_parts(parts: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Put the tensors of several parts into one dictionary, each under ``<part>.<name>``.

    Args:
        parts: For each part its tensors, for example a ``state_dict``.

    Returns:
        One flat dictionary for :func:`save_folder`; :meth:`SavedFolder.part` takes a part out again.

    Example:
        >>> import torch
        >>> sorted(join_parts({"flow": {"a": torch.zeros(1)}, "witness": {"a": torch.ones(1)}}))
        ['flow.a', 'witness.a']
    """
    return {f"{part}.{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}


def save_folder(
    path: str | Path, kind: str, *, config: Mapping[str, Any], tensors: Mapping[str, Tensor] | None = None
) -> Path:
    """Save an object as a folder; an object of the same folder is replaced all at once or not at all.

    Args:
        path: The folder; it and its parents are made if missing.
        kind: What the object is ("flow", "explainer"); :func:`load_folder` must be told the same.
        config: Its settings as plain JSON data (tuples become lists; no NaN and no infinity).
        tensors: Its numbers by name, of any device; they are stored as they are, bit by bit.

    Returns:
        The folder's path.

    Raises:
        ArgumentError: ``config`` holds something that is not plain data.
        PersistenceError: The path is a file, or the system refused the write (a full disk); the old content is intact.

    Example:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = save_folder(folder, "note", config={"features": 2}, tensors={"mean": torch.zeros(2)})
        ...     load_folder(folder, "note").config
        {'features': 2}
    """
    path = Path(path)
    contents = {"config": _dump_json(plain_data(config, "config")), "tensors": _dump_tensors(tensors or {})}
    hashes = {role: hashlib.sha256(content).hexdigest() for role, content in contents.items()}
    manifest = {"format": FORMAT, "kind": kind, "counterflow": __version__, "sha256": hashes}
    with _cleared_on_failure(path):
        for role, content in contents.items():
            atomic_write(path / _file_name(role, hashes[role]), content)
        atomic_write(path / MANIFEST, _dump_json(manifest))
    _remove_except(path, hashes)
    return path


def load_folder(path: str | Path, kind: str) -> SavedFolder:
    """Read what :func:`save_folder` wrote, after checking its kind, its format and every byte.

    Args:
        path: The folder.
        kind: What the caller expects there.

    Returns:
        The settings and the tensors (on the CPU), as ``(config, tensors)``.

    Raises:
        PersistenceError: The folder or one of its files is missing or damaged, holds another kind of object, or was
            written in an older or newer format.
    """
    path = Path(path)
    hashes = checked_hashes(path, kind, roles=tuple(_SUFFIXES))
    config, tensors = (_read_checked(path, role, hashes[role]) for role in _SUFFIXES)
    try:
        return SavedFolder(json.loads(config), safetensors.torch.load(tensors))
    except (ValueError, SafetensorError) as error:
        raise damaged(path, f"its content cannot be read ({error})") from error


def _read_checked(path: Path, role: str, expected: str) -> bytes:
    """The bytes of a file whose hash is as the manifest says."""
    name = _file_name(role, expected)
    try:
        content = read_bytes(path / name)
    except FileNotFoundError as error:
        raise damaged(path, f"'{name}' is missing") from error
    if hashlib.sha256(content).hexdigest() != expected:
        raise damaged(path, f"'{name}' was changed or cut short after it was saved")
    return content


def _file_name(role: str, digest: str) -> str:
    return f"{role}-{digest[:16]}{_SUFFIXES[role]}"


def _dump_json(data: object) -> bytes:
    return (json.dumps(data, indent=2, sort_keys=False, ensure_ascii=False) + "\n").encode()


def _dump_tensors(tensors: Mapping[str, Tensor]) -> bytes:
    """Safetensors' bytes; tensors that share memory are stored one by one."""
    return safetensors.torch.save({name: t.detach().cpu().clone().contiguous() for name, t in tensors.items()})


@contextlib.contextmanager
def _cleared_on_failure(path: Path) -> Iterator[None]:
    """Make the folder; if the block fails, remove what was not there before, and the folder if it was empty."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PersistenceError(f"Could not make the folder '{path}': {error.strerror}.") from error
    before = set(path.iterdir())
    try:
        yield
    except BaseException:
        for file in set(path.iterdir()) - before:
            file.unlink(missing_ok=True)
        if not before:
            path.rmdir()
        raise


def _remove_except(path: Path, hashes: Mapping[str, str]) -> None:
    """Remove the files of former saves; one that cannot be removed does no harm."""
    for role, suffix in _SUFFIXES.items():
        for file in path.glob(f"{role}-{'[0-9a-f]' * 16}{suffix}"):
            if file.name != _file_name(role, hashes[role]):
                with contextlib.suppress(OSError):
                    file.unlink()
