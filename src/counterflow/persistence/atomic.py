"""Write a file aside and rename it, so that a reader sees the old content or the new one, never a half."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from counterflow.core.errors import PersistenceError

__all__ = ["atomic_path", "atomic_write"]


def atomic_write(path: str | Path, data: bytes | str) -> Path:
    """Replace the file at ``path`` by ``data``, all or nothing.

    The bytes go to a neighbor of ``path`` and reach the disk before one rename puts them in place; whatever fails
    (a full disk, a crash, Ctrl-C), the former content of ``path`` stays as it was.

    Args:
        path: The file to write; its folder must exist.
        data: Its content; text is written as UTF-8.

    Returns:
        The path written.

    Raises:
        PersistenceError: The system refused the write, for example because the disk is full.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     atomic_write(Path(folder, "note.txt"), "kept whole").read_text()
        'kept whole'
    """
    with atomic_path(path) as aside:
        _write_through(aside, data.encode() if isinstance(data, str) else data)
    return Path(path)


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Lend a path beside ``path`` for a writer of its own (Parquet, CSV), and rename it into place at the end.

    Args:
        path: The file that shall hold what the writer wrote; its folder must exist.

    Yields:
        A path in the same folder and with the same suffix as ``path``. It is removed if the block raises.

    Raises:
        PersistenceError: The block or the rename raised an ``OSError``, for example because the disk is full.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with atomic_path(Path(folder, "table.csv")) as aside:
        ...         _ = aside.write_text("a,b")
        ...     sorted(file.name for file in Path(folder).iterdir())
        ['table.csv']
    """
    path = Path(path)
    aside: Path | None = None
    try:
        aside = _reserve(path)
        yield aside
        os.replace(aside, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise PersistenceError(f"Could not write '{path}': {reason}. What was there before is unchanged.") from error
    finally:
        if aside is not None:
            aside.unlink(missing_ok=True)


def _reserve(path: Path) -> Path:
    """An empty file of a fresh name beside ``path``."""
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    os.chmod(name, 0o666 & ~_umask())
    return Path(name)


def _umask() -> int:
    """The process's file mode mask (the system offers no way to read it but to set it)."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _write_through(path: Path, data: bytes) -> None:
    """Write and wait until the system says that the bytes are on the disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
