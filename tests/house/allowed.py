"""What the house rules call a smell and is right all the same: a name, and why."""

__all__ = ["BRITISH", "LONG_FILES", "LONG_FUNCTIONS", "NO_EXAMPLE", "POSITIONAL"]

# Files over 300 lines: "room/file.py".
LONG_FILES: dict[str, str] = {}

# Functions over 30 lines of code: "room/file.Class.function".
LONG_FUNCTIONS: dict[str, str] = {}

# Public functions that take more than two positional arguments: "room.function" or "room.Class.method".
POSITIONAL: dict[str, str] = {}

# Rooms whose docstrings hold no example that runs.
NO_EXAMPLE: dict[str, str] = {}

# Words in another spelling that are names.
BRITISH: dict[str, str] = {
    "optimise": "the public name of the training loop",
}
