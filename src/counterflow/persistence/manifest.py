"""The first file of a saved folder: what it holds, in which format, and the hashes of the rest."""

import json
from pathlib import Path
from typing import Any

from counterflow import __version__
from counterflow.core.errors import PersistenceError

__all__ = ["FORMAT", "MANIFEST", "checked_hashes", "damaged", "read_bytes"]

FORMAT = 1
"""The version of the folder's layout that this library writes and reads."""

MANIFEST = "manifest.json"
"""The name of the file."""


def checked_hashes(path: Path, kind: str, *, roles: tuple[str, ...]) -> dict[str, str]:
    """Read the manifest of a folder and check that it is of this kind and format.

    Args:
        path: The folder.
        kind: What it should hold.
        roles: The files that the manifest must give a hash for.

    Returns:
        The sha256 for each role.

    Raises:
        PersistenceError: The manifest is missing or damaged, or the folder is of another kind or format.
    """
    manifest = _read_manifest(path)
    _check_format(path, manifest)
    if manifest.get("kind") != kind:
        raise PersistenceError(f"'{path}' holds a saved {manifest.get('kind')}, expected a saved {kind}.")
    hashes = manifest.get("sha256")
    if not isinstance(hashes, dict) or not all(isinstance(hashes.get(role), str) for role in roles):
        raise damaged(path, f"'{MANIFEST}' does not name its files")
    return hashes


def damaged(path: Path, reason: str) -> PersistenceError:
    """The error for a folder that is not as it was saved."""
    return PersistenceError(f"The saved folder '{path}' is damaged: {reason}. Restore it from a copy or save it again.")


def read_bytes(file: Path) -> bytes:
    """The bytes of a file.

    Raises:
        FileNotFoundError: There is no such file.
        PersistenceError: The system refuses to read it.
    """
    try:
        return file.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(str(file)) from error
    except OSError as error:
        raise PersistenceError(f"Could not read '{file}': {error.strerror}.") from error


def _check_format(path: Path, manifest: dict[str, Any]) -> None:
    version = manifest.get("format")
    if not isinstance(version, int) or isinstance(version, bool):
        raise damaged(path, f"'{MANIFEST}' names no format")
    if version != FORMAT:
        advice = "make and save it again" if version < FORMAT else "upgrade to that version"
        raise PersistenceError(
            f"'{path}' was saved in format {version} by counterflow {manifest.get('counterflow')}, and counterflow "
            f"{__version__} reads format {FORMAT} only: {advice}."
        )


def _read_manifest(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise PersistenceError(f"There is no folder '{path}': check the path, or save something there first.")
    try:
        manifest = json.loads(read_bytes(path / MANIFEST))
    except FileNotFoundError as error:
        raise PersistenceError(f"'{path}' is no folder saved by counterflow: it has no '{MANIFEST}'.") from error
    except ValueError as error:
        raise damaged(path, f"'{MANIFEST}' is not whole") from error
    if not isinstance(manifest, dict):
        raise damaged(path, f"'{MANIFEST}' is not whole")
    return manifest
