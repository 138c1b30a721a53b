# Generated from chapters/appendix_run.md by `make export`. Do not edit.
"""What the command shows: bars where there is a screen, else lines."""

import time
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

__all__ = [
    "Lines",
    "Screen",
    "show_scores",
]


class Lines:
    """A bar for the stage at work, or a line now and then; with lines above.

    A context manager: the bar stands only inside of it.
    """

    def __init__(self, console: Console, *, every: float = 10.0) -> None:
        self.console, self.every = console, every
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self.bar = Progress(*columns, console=console, transient=True)
        self.task: TaskID | None = None
        self.stage, self.extra, self.shown = "", "", 0.0

    def __enter__(self) -> "Lines":
        if self.console.is_terminal:
            self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.console.is_terminal:
            self.bar.stop()

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _begin(self, stage: str) -> None:
        self._end()
        self.extra, self.shown = "", time.monotonic()
        self.task = self.bar.add_task(stage, total=None)

    def _end(self) -> None:
        if self.task is not None:
            self.bar.remove_task(self.task)
            self.task = None

    def _move(
        self, stage: str, done: int, total: int | None, text: str = ""
    ) -> None:
        """Move the bar; without a terminal, say so now and then."""
        if self.task is not None:
            self.bar.update(
                self.task,
                description=f"{stage} {text}",
                completed=done,
                total=total,
            )
        late = time.monotonic() - self.shown >= self.every
        if late and not self.console.is_terminal:
            self.shown = time.monotonic()
            of = f" of {total:,}" if total else ""
            self.say(f"{stage:10} {done:,}{of} {text}")


class Screen(Lines):
    """Hears the events of a run and shows them."""

    def __call__(self, event: dict[str, Any]) -> None:
        """Show one event."""
        stage = event["stage"]
        match event["kind"]:
            case "skip":
                self.say(f"{stage:10} done before, nothing changed")
            case "begin":
                self._begin(stage)
            case "end":
                self._end()
                self.say(f"{stage:10} done in {event['seconds']:.1f} s")
            case "note":
                self.say(f"{stage:10} {event['message']}")
            case "progress":
                self._move(stage, event["done"], event["total"])
            case "train":
                self._train(event)
            case "eval":
                self._eval(event)
            case "event" if event["event"] not in ("start", "done"):
                step, text = event["step"], event["message"]
                self.say(f"{stage:10} step {step}: {event['event']}, {text}")

    def _train(self, row: dict[str, Any]) -> None:
        speed = row.get("tokens_per_second", 0.0)
        text = f"loss {row['loss']:.3f}, {speed:,.0f} tokens/s{self.extra}"
        self._move("pretrain", row["step"], row["of"], text)

    def _eval(self, row: dict[str, Any]) -> None:
        found = []
        if "bits_per_byte" in row:
            found.append(f"{row['bits_per_byte']:.3f} bits per byte")
            self.extra = f", {found[0]}"
        if "facts_heldout" in row:
            found.append(f"{row['facts_heldout']:.0%} of held-out facts")
        if found:
            self.say(f"pretrain   step {row['step']}: {', '.join(found)}")


def show_scores(console: Console, found: dict[str, Any]) -> None:
    """The tables of an evaluation."""
    table = Table("texts", "bits per byte", "95 %", box=None)
    for name, score in found["bits_per_byte"].items():
        low, high = score["low"], score["high"]
        span = "" if low is None else f"{low:.3f} to {high:.3f}"
        table.add_row(name, f"{score['value']:.3f}", span)
    if found["bits_per_byte"]:
        console.print(table)
    table = Table("questions", "answered", "95 %", "chosen", "guess", box=None)
    for name, score in found["facts"].items():
        said = score["answer"]
        table.add_row(
            name,
            f"{said['right']} of {said['asked']}",
            f"{said['low']:.0%} to {said['high']:.0%}",
            f"{score['choice']['share']:.0%}",
            f"{score['chance']:.0%}",
        )
    if found["facts"]:
        console.print(table)
