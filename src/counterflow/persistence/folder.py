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
from counterflow.persistence.plain import plain_data

__all__ = ["FORMAT", "SavedFolder", "join_parts", "load_folder", "save_folder"]

FORMAT = 1
"""The version of the folder's layout that this library writes and reads."""

_MANIFEST = "manifest.json"
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
        atomic_write(path / _MANIFEST, _dump_json(manifest))
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
    hashes = _checked_manifest(path, kind)["sha256"]
    config, tensors = (_read_checked(path, role, hashes[role]) for role in _SUFFIXES)
    try:
        return SavedFolder(json.loads(config), safetensors.torch.load(tensors))
    except (ValueError, SafetensorError) as error:
        raise _damaged(path, f"its content cannot be read ({error})") from error


def _checked_manifest(path: Path, kind: str) -> dict[str, Any]:
    """The manifest of a folder of this kind and format, with both hashes in it."""
    manifest = _read_manifest(path)
    version, writer = manifest.get("format"), manifest.get("counterflow")
    if not isinstance(version, int) or isinstance(version, bool):
        raise _damaged(path, f"'{_MANIFEST}' names no format")
    if version != FORMAT:
        age, advice = ("an older", "save it again with") if version < FORMAT else ("a newer", "upgrade to")
        raise PersistenceError(
            f"'{path}' has {age} format ({version}) than this counterflow {__version__} reads ({FORMAT}): "
            f"it was written by counterflow {writer}; {advice} {'this' if version < FORMAT else 'that'} version."
        )
    if manifest.get("kind") != kind:
        raise PersistenceError(f"'{path}' holds a saved {manifest.get('kind')}, expected a saved {kind}.")
    hashes = manifest.get("sha256")
    if not isinstance(hashes, dict) or not all(isinstance(hashes.get(role), str) for role in _SUFFIXES):
        raise _damaged(path, f"'{_MANIFEST}' does not name its files")
    return manifest


def _read_manifest(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise PersistenceError(f"There is no folder '{path}': check the path, or save something there first.")
    try:
        manifest = json.loads(_read(path / _MANIFEST))
    except FileNotFoundError as error:
        raise PersistenceError(f"'{path}' is no folder saved by counterflow: it has no '{_MANIFEST}'.") from error
    except ValueError as error:
        raise _damaged(path, f"'{_MANIFEST}' is not whole") from error
    if not isinstance(manifest, dict):
        raise _damaged(path, f"'{_MANIFEST}' is not whole")
    return manifest


def _read_checked(path: Path, role: str, expected: str) -> bytes:
    """The bytes of a file whose hash is as the manifest says."""
    name = _file_name(role, expected)
    try:
        content = _read(path / name)
    except FileNotFoundError as error:
        raise _damaged(path, f"'{name}' is missing") from error
    if hashlib.sha256(content).hexdigest() != expected:
        raise _damaged(path, f"'{name}' was changed or cut short after it was saved")
    return content


def _read(file: Path) -> bytes:
    """The bytes of a file; a system that refuses (no permission, a folder in its place) says so in a sentence."""
    try:
        return file.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(str(file)) from error
    except OSError as error:
        raise PersistenceError(f"Could not read '{file}': {error.strerror}.") from error


def _damaged(path: Path, reason: str) -> PersistenceError:
    return PersistenceError(f"The saved folder '{path}' is damaged: {reason}. Restore it from a copy or save it again.")


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
