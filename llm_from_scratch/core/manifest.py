# Generated from chapters/appendix_shards.md by `make export`. Do not edit.
"""What was made from what: settings, files and the hashes of both."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Literal

from llm_from_scratch.core.files import atomic_write, sha256_file

__all__ = [
    "Manifest",
    "State",
    "fingerprint",
    "plain",
    "setting_changes",
]


State = Literal["current", "absent", "stale"]


def plain(value: Any) -> Any:
    """Settings as JSON has them: dataclasses become objects, paths strings.

    ValueError for what has no value that stays: functions, tensors, NaN.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, Mapping):
        result = {str(key): plain(item) for key, item in value.items()}
        if len(result) != len(value):
            raise ValueError(f"two keys of {value!r} are the same as texts")
        return result
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    finite = not isinstance(value, float) or abs(value) < float("inf")
    if value is None or (isinstance(value, str | int | float) and finite):
        return value
    raise ValueError(f"{value!r} cannot be part of the settings of a run")


def fingerprint(settings: Any) -> str:
    """16 hex digits that change when a setting changes.

    The order of keys does not count, that of lists does.
    """
    text = json.dumps(plain(settings), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def setting_changes(old: Any, new: Any, name: str = "") -> list[str]:
    """What changed between settings, as lines like "lr: 0.001 -> 0.002"."""
    old, new = plain(old), plain(new)
    if isinstance(old, dict) and isinstance(new, dict):
        lines = []
        for key in [*old, *(key for key in new if key not in old)]:
            inner = f"{name}.{key}" if name else key
            if key not in new:
                lines.append(f"{inner}: {old[key]!r} -> nothing")
            elif key not in old:
                lines.append(f"{inner}: nothing -> {new[key]!r}")
            else:
                lines += setting_changes(old[key], new[key], inner)
        return lines
    if fingerprint(old) == fingerprint(new):  # 1, 1.0 and True differ
        return []
    return [f"{name}: {old!r} -> {new!r}"]


def _seal(path: Path, folder: Path) -> dict[str, Any]:
    """What is remembered of a file; inside our folder, its place in it."""
    stat, whole, base = path.stat(), path.resolve(), folder.resolve()
    inside = whole.is_relative_to(base)
    return {
        "path": (whole.relative_to(base) if inside else whole).as_posix(),
        "size": stat.st_size,
        "mtime_ns": stat.st_mtime_ns,
        "sha256": sha256_file(path),
    }


def _unchanged(path: Path, seal: Mapping[str, Any], rehash: bool) -> bool:
    """Whether a file is what it was when it was sealed."""
    stat = path.stat()
    if stat.st_size != seal["size"]:
        return False
    if stat.st_mtime_ns == seal["mtime_ns"] and not rehash:
        return True
    return sha256_file(path) == seal["sha256"]


class Manifest:
    """A JSON file that says of every artifact what it was made from.

    One writer at a time. ValueError if the file is damaged.
    Source: merkle1988digital.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path, self.entries = Path(path), dict[str, dict[str, Any]]()
        if self.path.exists():
            try:
                self.entries = dict(json.loads(self.path.read_bytes())["made"])
            except (ValueError, KeyError, TypeError):
                raise ValueError(
                    f"{path} is damaged; delete it, and what it listed will "
                    "be checked or made again"
                ) from None

    def record(
        self,
        name: str,
        files: Mapping[str, str | os.PathLike[str]],
        made_from: Mapping[str, str],
        settings: Any,
    ) -> None:
        """Note that `files` were just made, and from what."""
        folder = self.path.parent
        self.entries[name] = {
            "settings": plain(settings),
            "made_from": dict(made_from),
            "files": {k: _seal(Path(p), folder) for k, p in files.items()},
        }
        with atomic_write(self.path, "w") as file:
            json.dump({"made": self.entries}, file, indent=1)

    def hashes(self, name: str) -> dict[str, str]:
        """SHA-256 of each file of an artifact, as it was recorded."""
        files = self.entries[name]["files"]
        return {key: seal["sha256"] for key, seal in files.items()}

    def difference(self, name: str, settings: Any) -> list[str]:
        """Which settings differ from those an artifact was made with."""
        return setting_changes(self.entries[name]["settings"], settings)

    def check(
        self,
        name: str,
        made_from: Mapping[str, str],
        settings: Any,
        *,
        rehash: bool = False,
    ) -> State:
        """Whether an artifact is there, and is what would be made now.

        A file of the same size and time is taken for unchanged, unless
        `rehash` asks to read it.
        """
        entry = self.entries.get(name, {"files": {}})
        seals = entry["files"].values()
        paths = [self.path.parent / seal["path"] for seal in seals]
        if name not in self.entries or not all(p.exists() for p in paths):
            return "absent"
        same = entry["made_from"] == dict(made_from)
        same = same and not self.difference(name, settings)
        for path, seal in zip(paths, seals, strict=True):
            same = same and _unchanged(path, seal, rehash)
        return "current" if same else "stale"
