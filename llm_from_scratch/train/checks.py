# Generated from chapters/appendix_zoo.md by `make export`. Do not edit.
"""All checks of a run, made on copies: `run_checks(parts)`."""

from collections.abc import Iterable

from llm_from_scratch.core.runtime import undisturbed
from llm_from_scratch.train import checks_of_data as checks_of_data
from llm_from_scratch.train import checks_of_model as checks_of_model
from llm_from_scratch.train import checks_of_steps as checks_of_steps
from llm_from_scratch.train.parts import Parts
from llm_from_scratch.train.verdict import CHECKS as CHECKS
from llm_from_scratch.train.verdict import Verdict

__all__ = [
    "run_checks",
]


def run_checks(
    parts: Parts, names: Iterable[str] | None = None
) -> list[Verdict]:
    """The verdicts of all checks, or of those named; the run is untouched.

    A check that raises has failed, with the exception as its message.
    """
    wanted = list(CHECKS if names is None else names)
    unknown = [name for name in wanted if name not in CHECKS]
    if unknown:
        raise ValueError(
            f"no check is named {unknown[0]!r}; there are {', '.join(CHECKS)}"
        )
    verdicts = []
    for name in wanted:
        try:
            with undisturbed():
                passed, message = CHECKS[name](parts)
        except Exception as error:
            passed, message = False, f"{type(error).__name__}: {error}"
        verdicts.append(Verdict(name, passed, message))
    return verdicts
