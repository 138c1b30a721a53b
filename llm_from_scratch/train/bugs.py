# Generated from chapters/appendix_zoo.md by `make export`. Do not edit.
"""The bug zoo: silent bugs by name, and how to put one into a run."""

from llm_from_scratch.train import bugs_in_data as bugs_in_data
from llm_from_scratch.train import bugs_in_model as bugs_in_model
from llm_from_scratch.train import bugs_in_steps as bugs_in_steps
from llm_from_scratch.train.cage import BUGS as BUGS
from llm_from_scratch.train.parts import Parts

__all__ = [
    "infect",
]


def infect(parts: Parts, name: str | None) -> Parts:
    """The parts with a bug in them, by its name; unchanged for None."""
    if name is None:
        return parts
    if name not in BUGS:
        known = ", ".join(BUGS)
        raise ValueError(f"no bug is named {name!r}; the zoo has {known}")
    return BUGS[name].install(parts)
