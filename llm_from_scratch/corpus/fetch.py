# Generated from chapters/appendix_slices.md by `make export`. Do not edit.
"""Bring the real sets from the package registries into a local cache."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import platformdirs
from rich.progress import Progress

from llm_from_scratch.core.files import (
    atomic_directory,
    format_size,
    sha256_file,
)
from llm_from_scratch.corpus.archives import (
    check_archive,
    https_get,
    unpack,
)
from llm_from_scratch.corpus.manifest import (
    Package,
    Slice,
    find_slice,
    manifest,
    sources_page,
)

__all__ = [
    "damaged",
    "data_dir",
    "fetch",
    "fetch_package",
    "npm_url",
    "package_dir",
    "slice_files",
]


def data_dir() -> Path:
    """Where fetched sets live: LLM_FROM_SCRATCH_DATA, or the user's cache."""
    given = os.environ.get("LLM_FROM_SCRATCH_DATA")
    return Path(given or platformdirs.user_cache_dir("llm_from_scratch"))


def package_dir(package: Package) -> Path:
    """Where the members of a package live; the version is in the name."""
    return data_dir() / f"{package.key}-{package.version}"


def slice_files(name: str) -> list[Path]:
    """The files of a fetched set, in the order of the manifest.

    FileNotFoundError, naming the command that helps, if it is not here.
    """
    entry = find_slice(name)
    root = package_dir(entry.package)
    paths = [p for glob in entry.members for p in sorted(root.glob(glob))]
    if not _is_here(entry.package) or not paths:
        command = f"python -m llm_from_scratch.corpus.fetch {name}"
        make = "" if entry.optional else "make data, or "
        raise FileNotFoundError(
            f"the set {name!r} is not in {data_dir()}: run {make}{command} "
            f"({format_size(entry.package.size)} from {entry.package.registry})"
        )
    return paths


def _globs(package: Package) -> list[str]:
    """All member patterns that any set wants of this package, in order."""
    wanted = (s for s in manifest().values() if s.package.key == package.key)
    return [glob for s in wanted for glob in s.members]


def _receipt(package: Package) -> dict[str, dict[str, str]]:
    """What was unpacked: pins under "pin", member hashes under "members"."""
    try:
        text = (package_dir(package) / "receipt.json").read_text("utf-8")
        return dict(json.loads(text))
    except (FileNotFoundError, ValueError):
        return {}


def _pin(package: Package) -> dict[str, str]:
    return {"sha256": package.sha256, "members": "\n".join(_globs(package))}


def _is_here(package: Package) -> bool:
    """Whether the receipt is for this archive and for these patterns."""
    return _receipt(package).get("pin") == _pin(package)


def damaged(package: Package) -> list[str]:
    """The members whose bytes are not those that were unpacked."""
    root = package_dir(package)
    return [
        name
        for name, digest in _receipt(package).get("members", {}).items()
        if not (root / name).is_file() or sha256_file(root / name) != digest
    ]


def _from_pypi(package: Package, into: Path) -> None:
    """Let pip download one archive, and check it before it opens it."""
    pin = f"{package.name}=={package.version} --hash=sha256:{package.sha256}"
    (into / "pin.txt").write_text(pin)
    wheel = package.file.endswith(".whl")
    kind = "--only-binary" if wheel else "--no-binary"
    command = [sys.executable, "-m", "pip", "download", "--quiet"]
    command += ["--no-deps", "--ignore-requires-python", kind, package.name]
    command += ["--disable-pip-version-check", "--retries", "1"]
    command += ["--require-hashes", "--requirement", str(into / "pin.txt")]
    command += ["--dest", str(into)]
    done = subprocess.run(command, capture_output=True, text=True)
    if "No module named pip" in done.stderr:
        raise OSError("no pip: run `python -m ensurepip` and try again")
    if done.returncode and "DO NOT MATCH THE HASHES" in done.stderr:
        raise ValueError(f"pip refused {package.file}: {done.stderr.strip()}")
    if done.returncode:
        raise ConnectionError(f"pip: {done.stderr.strip()[-400:]}")


def _from_npm(package: Package, into: Path) -> None:
    """Download one archive with npm if it is installed, else over HTTPS."""
    if shutil.which("npm"):
        spec = f"{package.name}@{package.version}"
        command = ["npm", "pack", spec, "--silent", "--ignore-scripts"]
        command += ["--pack-destination", str(into)]
        done = subprocess.run(command, capture_output=True)
        if done.returncode == 0:
            return
    https_get(npm_url(package), into / package.file)


def npm_url(package: Package) -> str:
    """Where the npm registry keeps the archive of a package."""
    base = os.environ.get("NPM_CONFIG_REGISTRY", "https://registry.npmjs.org")
    stem = package.name.rpartition("/")[2]
    file = f"{stem}-{package.version}.tgz"
    return f"{base.rstrip('/')}/{package.name}/-/{file}"


def fetch_package(
    package: Package,
    tries: int = 3,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """Download, check and unpack one package; return its directory.

    Waits 1, 2, 4, ... seconds between tries when the network fails, and
    raises ConnectionError after the last. A wrong archive is not tried again.
    """
    get = {"pypi": _from_pypi, "npm": _from_npm}[package.registry]
    data_dir().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=data_dir(), prefix=".get-") as folder:
        for attempt in range(tries):
            try:
                get(package, Path(folder))
                break
            except ConnectionError as error:
                if attempt + 1 == tries:
                    raise ConnectionError(
                        f"cannot fetch {package.name} {package.version} from "
                        f"{package.registry} after {tries} tries: {error}"
                    ) from error
                sleep(2**attempt)
        archive = Path(folder) / package.file
        check_archive(package, archive)
        with atomic_directory(package_dir(package)) as target:
            members = unpack(archive, target, _globs(package))
            receipt = {"pin": _pin(package), "members": members}
            (target / "receipt.json").write_text(json.dumps(receipt, indent=1))
    return package_dir(package)


def fetch(names: Iterable[str] = (), everything: bool = False) -> int:
    """Make sets present, whole and undamaged; return the bytes downloaded.

    Without names, all sets that are not optional (all of them with
    `everything`). What is here already is verified and kept.
    """
    chosen: list[Slice] = [find_slice(name) for name in names] or [
        s for s in manifest().values() if everything or not s.optional
    ]
    packages = {s.package.key: s.package for s in chosen}
    missing = [p for p in packages.values() if not _is_here(p) or damaged(p)]
    total = sum(p.size for p in missing)
    with Progress(transient=True) as progress:
        task = progress.add_task("", total=total)
        for package in missing:
            progress.update(task, description=package.name)
            fetch_package(package)
            progress.advance(task, package.size)
            progress.print(f"{package.file}: {format_size(package.size)}")
    return total


def _main(arguments: list[str] | None = None) -> None:
    """Run `python -m llm_from_scratch.corpus.fetch`."""
    parser = argparse.ArgumentParser(
        "python -m llm_from_scratch.corpus.fetch", description=__doc__
    )
    parser.add_argument("names", nargs="*", help="sets; all but the optional")
    parser.add_argument("--all", action="store_true", help="optional ones too")
    parser.add_argument("--list", action="store_true", help="list and stop")
    parser.add_argument("--sources", action="store_true", help="print page")
    given = parser.parse_args(arguments)
    if given.sources:
        print(sources_page(), end="")
        return
    if given.list:
        for s in manifest().values():
            here = "here" if _is_here(s.package) else "-"
            size = format_size(s.package.size)
            note = " (optional)" if s.optional else ""
            print(f"{s.key:17}{here:6}{size:>9}  {s.title}{note}")
        return
    try:
        total = fetch(given.names, given.all)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(f"{format_size(total)} fetched; the sets are in {data_dir()}")


if __name__ == "__main__" and __spec__:  # a notebook has no spec
    _main()
