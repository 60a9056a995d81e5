"""A versioned folder of JSON and safetensors for anything that gives its state as plain data; no pickle."""

from counterflow.persistence.atomic import atomic_path, atomic_write
from counterflow.persistence.fingerprints import fingerprint
from counterflow.persistence.folder import SavedFolder, join_parts, load_folder, save_folder
from counterflow.persistence.manifest import FORMAT
from counterflow.persistence.plain import plain_data

__all__ = [
    "FORMAT",
    "SavedFolder",
    "atomic_path",
    "atomic_write",
    "fingerprint",
    "join_parts",
    "load_folder",
    "plain_data",
    "save_folder",
]
