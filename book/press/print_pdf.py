"""Print the book: stored outputs to `_build/llm-from-scratch.pdf` or a site.

Nothing is executed. Any warning of Sphinx and any fault that LaTeX reports
fails the build, and two builds of one commit give the same bytes.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from book.press.latexlog import problems, unresolved_marks
from book.press.print_edition import EditionError, read_edition
from book.press.print_figures import is_current

NAME = "llm-from-scratch"
FILE = re.compile(r"^\s*- file: (\S+)", re.MULTILINE)
ROOT = Path(__file__).resolve().parents[2]


class PrintError(Exception):
    """The book cannot be printed as it is."""


def environment(root: Path) -> dict[str, str]:
    """Return the environment that makes a build independent of the machine."""
    return os.environ | {
        "SOURCE_DATE_EPOCH": str(read_edition(root).timestamp),
        "FORCE_SOURCE_DATE": "1",
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}",
        "max_print_line": "2000",  # TeX breaks the lines of its log otherwise
    }


def check_contents(source: Path) -> None:
    """Fail if a notebook would be left out of the book unnoticed."""
    toc = (source / "_toc.yml").read_text("utf-8")
    listed = {Path(name) for name in FILE.findall(toc)}
    found = {
        path.relative_to(source).with_suffix("")
        for path in source.glob("chapters/**/*.ipynb")
        if ".ipynb_checkpoints" not in path.parts
    }
    if found - listed:
        names = ", ".join(map(str, sorted(found - listed)))
        raise PrintError(f"_toc.yml does not list {names}")


def check_figures(source: Path) -> None:
    """Fail if a diagram is not what its source says."""
    diagrams = sorted(source.glob("book/figures/*.tex"))
    stale = [path.name for path in diagrams if not is_current(path)]
    if stale:
        raise PrintError(f"run `make figures`, changed: {', '.join(stale)}")


def jupyter_book(source: Path, builder: str, env: dict[str, str]) -> None:
    """Run jupyter-book from a fresh state; a warning is an error."""
    check_contents(source)
    check_figures(source)
    for part in (".doctrees", builder):
        shutil.rmtree(source / "_build" / part, ignore_errors=True)
    command = [
        sys.executable,
        "-c",
        "from jupyter_book.cli.main import main; main()",
        "build",
        str(source),
        *("-W", "-n", "--keep-going", "--all", "-q", "--builder", builder),
    ]
    if subprocess.run(command, env=env, check=False).returncode:
        raise PrintError("Sphinx reported the warnings above")


def latex(folder: Path, env: dict[str, str]) -> Path:
    """Run LuaLaTeX as often as needed and return the PDF."""
    command = ["latexmk", "-lualatex", "-interaction=nonstopmode"]
    command += ["-halt-on-error", "-silent", f"{NAME}.tex"]
    with (folder / "latexmk.out").open("wb") as output:
        run = subprocess.run(
            command, cwd=folder, env=env, stdout=output, stderr=output
        )
    log = (folder / f"{NAME}.log").read_text("utf-8", "replace")
    if run.returncode:
        error = log[max(log.find("\n! "), 0) :][:3000]
        raise PrintError(f"LaTeX stopped, see {folder / NAME}.log\n{error}")
    found = problems(log)
    if found:
        report = "\n".join(map(str, found))
        raise PrintError(f"LaTeX reported in {folder / NAME}.log:\n{report}")
    return folder / f"{NAME}.pdf"


def check_text(pdf: Path) -> None:
    """Read the printed text and look for references that failed."""
    run = subprocess.run(
        ["pdftotext", "-layout", pdf, "-"], capture_output=True, check=True
    )
    lost = unresolved_marks(run.stdout.decode("utf-8", "replace"))
    if lost:
        raise PrintError("Unresolved references in print:\n" + "\n".join(lost))


def print_pdf(source: Path) -> Path:
    """Print the book of a folder and return the PDF."""
    env = environment(source)
    jupyter_book(source, "latex", env)
    pdf = latex(source / "_build" / "latex", env)
    check_text(pdf)
    target = source / "_build" / pdf.name
    shutil.copyfile(pdf, target)
    return target


def main(arguments: list[str] | None = None) -> int:
    """Print the PDF or the site of a book folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", choices=("pdf", "html"))
    parser.add_argument("--source", type=Path, default=Path())
    options = parser.parse_args(arguments)
    source = options.source.resolve()
    try:
        if options.output == "pdf":
            target = print_pdf(source)
        else:
            jupyter_book(source, "html", environment(source))
            target = source / "_build" / "html" / "index.html"
    except (PrintError, EditionError) as error:
        print(error, file=sys.stderr)
        return 1
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
