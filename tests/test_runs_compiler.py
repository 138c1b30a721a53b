"""A run that asks for a compiler goes on where there is none."""

import pytest
import torch
from runs_micro import make, micro, stages

from llm_from_scratch.runs import compiler, plan, report
from llm_from_scratch.runs.compiler import compiler_problem
from llm_from_scratch.runs.folder import RunFolder
from llm_from_scratch.runs.pipeline import stage_states
from llm_from_scratch.runs.presets import preset

pytestmark = pytest.mark.filterwarnings("ignore:.*script_method")  # PyTorch's
ASKED = "train.compile=true"
NONE = "no C++ compiler was found; install g++ or set CXX"


@pytest.fixture
def without(monkeypatch):
    """A machine that has no C++ compiler."""
    monkeypatch.setenv("CXX", "/absent/g++")
    monkeypatch.setattr(report, "draw_curves", lambda *_: [])


@pytest.fixture
def stances(monkeypatch):
    """What PyTorch is told to do where a function is to be compiled.

    That it does so is tested with the trainer; here nothing is compiled.
    """
    found = []

    def count(function, **how):
        found.append(torch._dynamo.eval_frame._stance.stance)
        return function

    monkeypatch.setattr(torch, "compile", count)
    return found


@pytest.fixture
def built(monkeypatch):
    """A compiler that cannot be at work, and what it was given."""
    given = []

    def build(function, **how):
        given.append(function)

        def fail(*_, **__):
            raise RuntimeError("fatal error: Python.h\nmore of this")

        return fail

    monkeypatch.setattr(torch, "compile", build)
    return given


def test_a_missing_compiler_is_named_with_the_way_out(without):
    assert compiler_problem(micro(ASKED)) == NONE
    assert compiler_problem(micro()) == ""
    assert compiler_problem(preset("laptop")) == NONE


def test_a_gpu_needs_no_compiler_of_that_language(without, monkeypatch):
    monkeypatch.setattr(
        compiler, "pick_device", lambda name: torch.device("cuda")
    )
    assert compiler_problem(micro(ASKED)) == ""


def test_a_compiler_that_fails_is_found_by_trying(monkeypatch, built):
    monkeypatch.setattr(compiler, "has_cpp_compiler", lambda: True)
    assert compiler_problem(micro(ASKED)) == ""
    assert compiler_problem(micro(), attempt=True) == ""
    assert built == []
    told = compiler_problem(micro(ASKED), attempt=True)
    assert told == "torch.compile fails here: fatal error: Python.h"
    assert len(built) == 1


def test_a_run_without_a_compiler_is_made_and_says_so(tmp_path, without):
    run, events = make(tmp_path, ASKED)  # and not compiled, whatever is here
    told = [e["message"] for e in events if e["kind"] == "note"]
    assert told[-1] == f"not compiled, so slower: {NONE}"
    assert run.folder.config().train.compile  # what is wanted is kept
    assert (tmp_path / "model/model.safetensors").exists()
    _, plain = make(tmp_path / "plain")
    assert not any("compiled" in e.get("message", "") for e in plain)


def test_a_compiler_may_come_and_go(tmp_path, without, monkeypatch, stances):
    """Begun without one; with one it is the same run, and is not refused."""
    make(tmp_path, ASKED)
    assert stances == ["force_eager"]
    assert torch._dynamo.eval_frame._stance.stance == "default"
    (tmp_path / "model/model.safetensors").unlink()
    (tmp_path / "checkpoints/step-00000006.safetensors").unlink()
    monkeypatch.setattr(compiler, "has_cpp_compiler", lambda: True)
    assert RunFolder(tmp_path).compare(micro(ASKED)) == []
    run, events = make(tmp_path, ASKED)
    assert "pretrain" in stages(events, "begin")
    assert stances == ["force_eager", "default", "default"]  # a line, the run
    assert set(stage_states(run).values()) == {"current"}


def minutes(line: str) -> list[float]:
    """Both ends of the range in a line of a plan."""
    first, last = line.split(" of training")[0].split(" to ")
    assert first.endswith("min")
    assert last.endswith("min")
    return [float(end.split()[0]) for end in (first, last)]


def test_the_plan_knows_whether_steps_are_compiled(monkeypatch):
    """At the rate that real steps of the laptop reached on two cores."""
    monkeypatch.setattr(plan, "measured_rate", lambda config: 416e9)
    with monkeypatch.context() as patch:
        patch.setattr(compiler, "has_cpp_compiler", lambda: True)
        found = plan.plan(preset("laptop"))
        assert "compiler" not in found
        assert minutes(found["time"]) == [6, 10]  # it took 7
    monkeypatch.setenv("CXX", "/absent/g++")
    found = plan.plan(preset("laptop"))
    assert found["compiler"] == f"training will not be compiled: {NONE}"
    assert minutes(found["time"]) == [8, 12]
    assert preset("laptop").train.compile  # whatever the machine
    assert "compiler" not in plan.plan(micro())  # not asked for


def test_a_plan_does_not_wait_for_the_compiler(monkeypatch, built):
    monkeypatch.setattr(compiler, "has_cpp_compiler", lambda: True)
    assert "compiler" not in plan.plan(preset("laptop"), measure=False)
    assert built == []
