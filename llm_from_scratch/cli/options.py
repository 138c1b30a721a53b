# Generated from chapters/appendix_run.md by `make export`. Do not edit.
"""Options that several commands share, and what becomes of them."""

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from llm_from_scratch.runs.config import RunConfig

__all__ = [
    "SHORT",
    "BatchSize",
    "Bug",
    "Check",
    "ConfigFile",
    "Context",
    "Debug",
    "Device",
    "DryRun",
    "Ended",
    "FromStep",
    "Lr",
    "MaxTokens",
    "Out",
    "Pages",
    "Preset",
    "PresetName",
    "Prompt",
    "RandomSeed",
    "RunPath",
    "Seed",
    "Set",
    "StageName",
    "Step",
    "Steps",
    "Temperature",
    "Threads",
    "TopK",
    "TopP",
    "VocabSize",
    "choose",
    "explained",
    "guarded",
]


PresetName = Literal["tiny", "laptop", "gpu"]
StageName = Literal["corpus", "tokenizer", "shards", "pretrain", "evaluate"]
SHORT = {  # options that stand for a setting
    "steps": "train.steps",
    "lr": "train.lr",
    "batch_size": "train.batch_size",
    "context": "train.context",
    "seed": "train.seed",
    "device": "train.device",
    "threads": "train.threads",
    "pages": "corpus.pages",
    "vocab_size": "tokenizer.vocab_size",
    "bug": "train.bug",
}


def _option(help: str, *names: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=help, metavar=metavar)


Out = Annotated[
    Path | None,
    _option("Folder of the run; runs/PRESET if not given.", "--out", "-o"),
]
Preset = Annotated[
    PresetName | None,
    _option("Settings to start from; laptop if not given.", "--preset", "-p"),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        exists=True,
        dir_okay=False,
        help="Settings from a file as `llm config` prints it.",
    ),
]


Set = Annotated[
    list[str] | None,
    _option(
        "Change a setting, such as train.lr=0.002; repeat for more. "
        "`llm config` prints all of them.",
        "--set",
        "-s",
        metavar="NAME=VALUE",
    ),
]
Steps = Annotated[int | None, _option("train.steps")]
Lr = Annotated[float | None, _option("train.lr", "--lr")]
BatchSize = Annotated[int | None, _option("train.batch_size")]
Context = Annotated[int | None, _option("train.context")]
Seed = Annotated[int | None, _option("train.seed")]
Device = Annotated[str | None, _option("train.device: auto, cpu, cuda")]
Threads = Annotated[int | None, _option("train.threads")]
Pages = Annotated[int | None, _option("corpus.pages, of Smallweb")]
VocabSize = Annotated[int | None, _option("tokenizer.vocab_size")]
Bug = Annotated[str | None, _option("train.bug: install one of the bug zoo.")]
DryRun = Annotated[
    bool, _option("Print the plan and its costs; touch nothing.", "--dry-run")
]
Check = Annotated[
    bool,
    _option("Check the parts of training instead of training.", "--check"),
]
FromStep = Annotated[
    int | None, _option("Go on from this checkpoint, not from the last.")
]
Debug = Annotated[bool, _option("Show where an error came from.", "--debug")]

RunPath = Annotated[
    Path, _option("Folder of a run, or of a model.", "--run", "-r")
]


Prompt = Annotated[
    str | None,
    _option("Text to continue; without it, or with -, what is piped in."),
]
MaxTokens = Annotated[
    int, typer.Option("--max-tokens", "-n", min=0, help="At most so many.")
]
Temperature = Annotated[
    float, typer.Option(min=0, help="0 takes the likeliest token.")
]
TopK = Annotated[
    int | None, typer.Option(min=1, help="Only of the k likeliest.")
]
TopP = Annotated[
    float,
    typer.Option(max=1, help="Of the fewest that hold this probability."),
]
RandomSeed = Annotated[int | None, _option("For the same text each time.")]
Step = Annotated[
    int | None, _option("Let this checkpoint speak, not the last model.")
]


def choose(
    out: Path | None,
    preset: str | None,
    file: Path | None,
    changes: list[str] | None,
    **short: Any,
) -> tuple[Path, "RunConfig"]:
    """Folder and configuration that the options ask for.

    Settings start from --config, --preset, the run that is in `out`, or the
    laptop preset. typer.BadParameter for settings that cannot be.
    """
    from llm_from_scratch.core.config import override, read_toml
    from llm_from_scratch.runs.config import RunConfig
    from llm_from_scratch.runs.folder import RunFolder
    from llm_from_scratch.runs.presets import preset as preset_named
    from llm_from_scratch.runs.training import check_bug

    if file and preset:
        raise typer.BadParameter("give --config or --preset, not both")
    given = {SHORT[k]: value for k, value in short.items() if value is not None}
    lines = [f"{name}={value}" for name, value in given.items()]
    try:
        if file:
            start = read_toml(RunConfig, file)
        elif out and not preset and RunFolder(out).config_file.is_file():
            start = RunFolder(out).config()
        else:
            start = preset_named(preset or "laptop")
        config = override(start, [*(changes or ()), *lines])
        check_bug(config.train.bug)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    name = file.stem if file else preset or "laptop"
    bug = f"-{config.train.bug}" if config.train.bug else ""
    return out or Path("runs") / f"{name}{bug}", config


class Ended(Exception):
    """The command ends here: with a message, if any, and an exit code."""

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(message)
        self.code = code


@contextlib.contextmanager
def guarded(debug: bool) -> Iterator[None]:
    """Turn what goes wrong inside into one message and an exit code.

    1 for a failure, 128 + n after signal n. With `debug` the traceback is
    shown; it always is for what only a mistake in this program can cause.
    """
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except Ended as end:
        if str(end):
            typer.echo(str(end), err=True)
        raise typer.Exit(end.code) from None
    except KeyboardInterrupt as stop:
        number = stop.args[0] if stop.args else signal.SIGINT
        typer.echo(
            "\nstopped; finished stages are kept, and the same command goes on",
            err=True,
        )
        raise typer.Exit(128 + number) from None
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(128 + signal.SIGPIPE) from None
    except (ValueError, OSError, RuntimeError) as error:
        if debug:
            raise
        typer.echo(f"error: {explained(error)}", err=True)
        raise typer.Exit(1) from None


def _terminate(number: int, frame: Any) -> None:
    raise KeyboardInterrupt(number)


def explained(error: Exception) -> str:
    """What went wrong, for someone who has not read this program."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        told, plain = str(error.strerror), os.strerror(errno.ENOSPC)
        return (
            f"the disk is full. {'' if told == plain else f'{told}. '}Make "
            "room and give the same command; what was finished is kept"
        )
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    return str(error) or type(error).__name__
