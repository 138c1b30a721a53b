"""Draw the diagrams of `book/figures`: TikZ source to PDF and SVG.

A diagram is drawn again only when its text changed. File times mean nothing
in a fresh clone, so each SVG ends with a comment that holds the hash of the
source and of every file that the source reads.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

INPUT = re.compile(r"^[^%\n]*?\\(?:input|include)\s*\{([^}]+)\}", re.MULTILINE)
MARK = "<!-- drawn from sources with sha256 {} -->\n"
# No dates, no path-based file ID, no information about included files.
PREFIX = (
    r"\pdfvariable suppressoptionalinfo=1023 \tracinglostchars=2 \input{%s}"
)


class FigureError(Exception):
    """A diagram that does not compile."""


def sources(path: Path) -> list[Path]:
    """Return the file and all files that it reads, itself first."""
    found, queue = [path], [path]
    while queue:
        for name in INPUT.findall(queue.pop().read_text("utf-8")):
            for candidate in (path.parent / name, path.parent / f"{name}.tex"):
                if candidate.is_file() and candidate not in found:
                    found.append(candidate)
                    queue.append(candidate)
    return found


def source_hash(path: Path) -> str:
    """Return the SHA-256 of everything that the diagram is made from."""
    digest = hashlib.sha256()
    for source in sources(path):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()


def is_current(path: Path) -> bool:
    """Tell whether PDF and SVG were drawn from the source as it is now."""
    svg = path.with_suffix(".svg")
    if not (svg.is_file() and path.with_suffix(".pdf").is_file()):
        return False
    return svg.read_text("utf-8").endswith(MARK.format(source_hash(path)))


def draw(path: Path) -> None:
    """Compile one diagram and put PDF and SVG beside it."""
    env = os.environ | {
        "SOURCE_DATE_EPOCH": "0",
        "FORCE_SOURCE_DATE": "1",
        "TZ": "UTC",
    }
    env["TEXINPUTS"] = f"{path.parent.resolve()}:{env.get('TEXINPUTS', '')}:"
    with tempfile.TemporaryDirectory() as folder:
        command = ["lualatex", "-interaction=nonstopmode", "-halt-on-error"]
        command += [f"-jobname={path.stem}", PREFIX % path.name]
        run = subprocess.run(
            command, cwd=folder, env=env, capture_output=True, check=False
        )
        log = run.stdout.decode("utf-8", "replace")
        if run.returncode or "Missing character" in log:
            raise FigureError(f"{path}: lualatex failed\n{log[-2000:]}")
        pdf = Path(folder, f"{path.stem}.pdf")
        svg = pdf.with_suffix(".svg")
        subprocess.run(["pdftocairo", "-svg", pdf, svg], check=True, env=env)
        with svg.open("a", encoding="utf-8") as file:
            file.write(MARK.format(source_hash(path)))
        shutil.copyfile(pdf, path.with_suffix(".pdf"))
        shutil.copyfile(svg, path.with_suffix(".svg"))


def main(arguments: list[str] | None = None) -> int:
    """Draw the diagrams that changed; with `--check` only report them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--all", action="store_true", help="draw every one")
    parser.add_argument("files", nargs="*", type=Path)
    options = parser.parse_args(arguments)
    files = options.files or sorted(Path("book/figures").glob("*.tex"))
    stale = [path for path in files if options.all or not is_current(path)]
    for path in stale:
        if options.check:
            print(f"{path} changed since it was drawn; run `make figures`")
            continue
        print(f"drawing {path.with_suffix('.svg')}", flush=True)
        try:
            draw(path)
        except FigureError as error:
            print(error, file=sys.stderr)
            return 1
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
