# Generated from chapters/appendix_run.md by `make export`. Do not edit.
"""The `llm` command: arguments in, words and an exit code out."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llm_from_scratch.cli import options

if TYPE_CHECKING:
    from llm_from_scratch.runs.config import RunConfig

__all__ = [
    "STAGES",
    "app",
    "generate",
    "main",
    "show_config",
]


app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A language model from nothing: texts, tokenizer, shards, training.",
)
STAGES: dict[str, str] = {
    "corpus": "Write the texts, for training and held out.",
    "tokenizer": "Learn the vocabulary, and make what it needs.",
    "shards": "Turn texts into shards of tokens, and make what they need.",
    "pretrain": "Train the model, and make what it needs.",
    "evaluate": "Measure bits per byte and facts known; the same as `run`.",
}


def _command(fixed: options.StageName | None) -> Callable[..., None]:
    """A command that runs all stages up to one, or up to --until."""
    stop = typer.Option(help="The last stage.", hidden=fixed is not None)

    def command(
        until: Annotated[options.StageName, stop] = fixed or "evaluate",
        out: options.Out = None,
        preset: options.Preset = None,
        config: options.ConfigFile = None,
        change: options.Set = None,
        steps: options.Steps = None,
        lr: options.Lr = None,
        batch_size: options.BatchSize = None,
        context: options.Context = None,
        seed: options.Seed = None,
        device: options.Device = None,
        threads: options.Threads = None,
        pages: options.Pages = None,
        vocab_size: options.VocabSize = None,
        bug: options.Bug = None,
        check: options.Check = False,
        dry_run: options.DryRun = False,
        from_step: options.FromStep = None,
        debug: options.Debug = False,
    ) -> None:
        given = locals()
        short = {name: given[name] for name in options.SHORT}
        with options.guarded(debug):
            folder, chosen = options.choose(
                out, preset, config, change, **short
            )
            if dry_run:
                _show_plan(folder, chosen)
            else:
                _make(folder, chosen, until, check, from_step)

    return command


app.command("run", help="Make everything: from texts to a measured model.")(
    _command(None)
)
for _name, _help in STAGES.items():
    app.command(_name, help=_help)(_command(_name))  # type: ignore[arg-type]


def _make(
    out: Path,
    config: "RunConfig",
    until: str,
    check: bool,
    from_step: int | None,
) -> None:
    """Run stages in a folder; Ended if a signal came on the way."""
    from rich.console import Console

    from llm_from_scratch.cli.screen import Screen, show_scores
    from llm_from_scratch.runs.folder import RunFolder
    from llm_from_scratch.runs.pipeline import run_stages
    from llm_from_scratch.runs.stages import Run
    from llm_from_scratch.runs.training import Stopped, check_training

    folder, console = RunFolder(out), Console(stderr=True)
    folder.compare(config)  # leave no trace where nothing will be made
    screen = Screen(console)
    with folder.lock(), screen:
        for line in folder.claim(config):
            screen.say(f"changed    {line}")
        run = Run(
            folder=folder, config=config, tell=screen, from_step=from_step
        )
        try:
            run_stages(run, "shards" if check else until)
        except Stopped as stop:
            message = f"stopped: {stop}; the same command goes on from there"
            raise options.Ended(128 + stop.signal, message) from None
        verdicts = check_training(run) if check else []
    if check:
        _show_verdicts(verdicts)
    elif until == "evaluate":
        show_scores(Console(), json.loads(folder.evaluation_file.read_text()))
        typer.echo(f"\n{folder.report_file} has the rest. Let it speak:")
        typer.echo(f'llm generate --run {out} --prompt "Once upon a time"')


def _show_verdicts(verdicts: list[Any]) -> None:
    """Print what the checks say; exit code 1 if one has failed."""
    words = {True: "ok", False: "FAILED", None: "-"}
    for one in verdicts:
        typer.echo(f"{words[one.passed]:7} {one.check:20} {one.message}")
    if any(one.passed is False for one in verdicts):
        raise options.Ended(1)


def _show_plan(out: Path, config: "RunConfig") -> None:
    """Print what a run would cost, and what of it is done."""
    from llm_from_scratch.runs.folder import RunFolder
    from llm_from_scratch.runs.pipeline import stage_states
    from llm_from_scratch.runs.plan import plan
    from llm_from_scratch.runs.stages import Run

    folder = RunFolder(out)
    folder.compare(config)
    states = stage_states(Run(folder=folder, config=config))
    rows = plan(config)
    for name, text in {"folder": str(out), **rows}.items():
        typer.echo(f"{name:11} {text}")
    todo = ", ".join(
        f"{stage} ({'done' if state == 'current' else 'to do'})"
        for stage, state in states.items()
    )
    typer.echo(f"{'stages':11} {todo}")


@app.command("config")
def show_config(
    out: options.Out = None,
    preset: options.Preset = None,
    config: options.ConfigFile = None,
    change: options.Set = None,
    debug: options.Debug = False,
) -> None:
    """Print every setting as TOML, to keep, to change, and for --config."""
    with options.guarded(debug):
        from llm_from_scratch.core.config import toml_text

        chosen = options.choose(out, preset, config, change)[1]
        typer.echo(toml_text(chosen), nl=False)


@app.command()
def generate(
    run: options.RunPath = Path("runs/laptop"),
    prompt: options.Prompt = None,
    max_tokens: options.MaxTokens = 200,
    temperature: options.Temperature = 0.7,
    top_k: options.TopK = None,
    top_p: options.TopP = 0.95,
    seed: options.RandomSeed = None,
    step: options.Step = None,
    device: options.Device = "auto",
    debug: options.Debug = False,
) -> None:
    """Let a model continue a text, token by token."""
    with options.guarded(debug):
        if prompt is None or prompt == "-":
            prompt = sys.stdin.read()
        how = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
        _speak(run, step, device or "auto", prompt, max_tokens, seed, how)


def _speak(
    run: Path,
    step: int | None,
    device: str,
    prompt: str,
    max_tokens: int,
    seed: int | None,
    how: dict[str, Any],
) -> None:
    """Print the prompt, and what the model makes of it as it is made."""
    import torch

    from llm_from_scratch.infer.generation import Sampling
    from llm_from_scratch.infer.streaming import stream_text
    from llm_from_scratch.runs.training import load_model

    Sampling(**how)  # refuse it before the prompt is printed
    model, tokenizer, name = load_model(run, step, device)
    typer.echo(f"[{name}]", err=True)
    generator = torch.Generator(next(model.parameters()).device)
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    typer.echo(prompt, nl=False)
    for piece in stream_text(
        model, tokenizer, prompt, max_tokens, generator=generator, **how
    ):
        typer.echo(piece, nl=False)
        sys.stdout.flush()
    typer.echo()


def main() -> None:
    """Run the command line; does not return."""
    app()
