# Generated from chapters/appendix_run.md by `make export`. Do not edit.
"""What came out of a run: report.md and its pictures."""

import importlib.util
import json
from pathlib import Path
from typing import Any

from llm_from_scratch.core.files import atomic_write
from llm_from_scratch.core.manifest import Manifest, fingerprint
from llm_from_scratch.core.metrics import read_metrics
from llm_from_scratch.model.account import parameter_count
from llm_from_scratch.runs.plan import duration
from llm_from_scratch.runs.stages import Run, read_seconds

__all__ = [
    "draw_curves",
    "write_report",
]


def draw_curves(rows: list[dict[str, Any]], folder: Path) -> list[str]:
    """Write loss.png and lr.png; nothing where matplotlib is not installed.

    Returns the names of the files.
    """
    train = [row for row in rows if row["kind"] == "train"]
    if not train or importlib.util.find_spec("matplotlib") is None:
        return []
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    pages = _pages(train, [row for row in rows if row["kind"] == "eval"])
    for name, some in pages.items():
        figure = Figure(figsize=(4 * len(some), 3), layout="constrained")
        FigureCanvasAgg(figure)
        for place, (title, key, found) in enumerate(some, 1):
            axes = figure.add_subplot(1, len(some), place)
            found = [row for row in found if key in row]
            steps = [row["step"] for row in found]
            axes.plot(
                steps,
                [row[key] for row in found],
                marker="o" if len(found) < 20 else "",
            )
            axes.set(xlabel="step", title=title)
            axes.spines[["top", "right"]].set_visible(False)
        with atomic_write(folder / name) as file:
            figure.savefig(file, dpi=120, metadata={"Software": None})
    return list(pages)


def _pages(
    train: list[dict[str, Any]], looks: list[dict[str, Any]]
) -> dict[str, list[tuple[str, str, list[dict[str, Any]]]]]:
    """What is drawn on each picture: title, key and rows of each panel."""
    panels = [("loss in nats a token", "loss", train)]
    if any("bits_per_byte" in row for row in looks):
        panels.append(("held-out bits per byte", "bits_per_byte", looks))
    if any("facts_heldout" in row for row in looks):
        panels.append(("held-out facts known", "facts_heldout", looks))
    others = [
        ("learning rate", "lr", train),
        ("norm of the gradient", "grad_norm", train),
    ]
    return {"loss.png": panels, "lr.png": others}


def write_report(run: Run) -> Path:
    """Write report.md from what lies in the folder so far; its path."""
    folder = run.folder
    rows = _read_rows(folder.metrics_file)
    lines = [f"# Run {folder.path.resolve().name}", ""]
    lines += ["| | |", "|---|---|", *_numbers(run, rows), ""]
    if folder.evaluation_file.exists():
        found = json.loads(folder.evaluation_file.read_text("utf-8"))
        lines += ["## Held out", "", *_scores(found), ""]
        lines += ["## Samples", ""]
        for sample in found["samples"]:
            text = f"**{sample['prompt']}**{sample['text']}"
            lines += ["> " + line for line in text.strip().split("\n")] + [""]
    pictures = draw_curves(rows, folder.path)
    lines += ["## Curves", ""] * bool(pictures)
    lines += [f"![{name}]({name})" for name in pictures] + [""]
    lines += ["## Made from", "", *_origins(run), ""]
    lines += ["## What happened", ""]
    lines += [
        f"- step {row['step']}: {row['event']}, {row['message']}"
        for row in rows
        if row["kind"] == "event"
    ]
    with atomic_write(folder.report_file, "w") as file:
        file.write("\n".join(lines).rstrip() + "\n")
    return folder.report_file


def _read_rows(path: Path) -> list[dict[str, Any]]:
    return read_metrics(path) if path.exists() else []


def _numbers(run: Run, log: list[dict[str, Any]]) -> list[str]:
    """Rows about the model and the training."""
    shape, seconds = run.config.model_config, read_seconds(run)
    train = [row for row in log if row["kind"] == "train"]
    done = train[-1]["step"] if train else 0
    rows = {
        "parameters": f"{parameter_count(shape).total:,}",
        "vocabulary": f"{shape.vocab_size:,} tokens",
        "steps": f"{done:,} of {run.config.train.steps:,}",
    }
    if train:
        rows["tokens read"] = f"{train[-1]['tokens']:,}"
        speed = sum(r["tokens_per_second"] for r in train) / len(train)
        rows["last loss"] = f"{train[-1]['loss']:.3f} nats a token"
        rows["speed"] = f"{speed:,.0f} tokens a second"
    for stage, spent in seconds.items():
        rows[f"time, {stage}"] = duration(spent)
    return [f"| {name} | {value} |" for name, value in rows.items()]


def _scores(found: dict[str, Any]) -> list[str]:
    """Tables of bits per byte and of facts."""
    lines = ["| texts | bits per byte | 95 % | texts | bytes |"]
    lines.append("|---|---|---|---|---|")
    for name, score in found["bits_per_byte"].items():
        low, high = score["low"], score["high"]
        span = "" if low is None else f"{low:.3f} to {high:.3f}"
        lines.append(
            f"| {name} | {score['value']:.3f} | {span} | {score['texts']} | "
            f"{score['bytes']:,} |"
        )
    if not found["facts"]:
        return lines
    lines += ["", "| questions | asked | answered | 95 % | chosen | by guess |"]
    lines.append("|---|---|---|---|---|---|")
    for name, score in found["facts"].items():
        said, chosen = score["answer"], score["choice"]
        lines.append(
            f"| {name} | {said['asked']} | {said['share']:.1%} | "
            f"{said['low']:.1%} to {said['high']:.1%} | "
            f"{chosen['share']:.1%} | {score['chance']:.1%} |"
        )
    return lines


def _origins(run: Run) -> list[str]:
    """A table of the stages and the hashes of what they made."""
    manifest = Manifest(run.folder.manifest_file)
    lines = ["| stage | content | made from |", "|---|---|---|"]
    for name, entry in manifest.entries.items():
        sources = " ".join(
            f"{key} {value}" for key, value in entry["made_from"].items()
        )
        content = fingerprint(manifest.hashes(name))
        lines.append(f"| {name} | {content} | {sources} |")
    return lines
