# Generated from chapters/appendix_run.md by `make export`. Do not edit.
"""Whether a run that asks to be compiled can be."""

import torch

from llm_from_scratch.core.runtime import pick_device
from llm_from_scratch.infer.compiled import has_cpp_compiler
from llm_from_scratch.runs.config import RunConfig

__all__ = [
    "compiler_problem",
]


def compiler_problem(config: RunConfig, *, attempt: bool = False) -> str:
    """Why a run that asks to be compiled cannot be; "" if nothing is known.

    On a CPU a C++ compiler must be found. With `attempt` a line is compiled,
    too: the compiler may be there, and its headers not.
    """
    if not config.train.compile:
        return ""
    device = pick_device(config.train.device)
    if device.type == "cpu" and not has_cpp_compiler():
        return "no C++ compiler was found; install g++ or set CXX"
    try:
        if attempt:
            torch.compile(torch.square)(torch.ones(8, device=device))
    except RuntimeError as error:
        reason = (str(error).strip() or type(error).__name__).split("\n")[0]
        return f"torch.compile fails here: {reason}"
    return ""
