"""Generators, devices, threads and signals."""

import os
import random
import signal
import threading

import numpy as np
import pytest
import torch

# ruff: noqa: NPY002  (the generators of others are what is tested)
from llm_from_scratch.core import runtime
from llm_from_scratch.core.runtime import (
    StopRequest,
    describe_machine,
    matmul_peak,
    pick_device,
    rng_state,
    seed_everything,
    set_rng_state,
    set_threads,
    undisturbed,
)


def draw() -> tuple[float, float, float]:
    """One number from each generator of this process."""
    return random.random(), float(np.random.rand()), torch.rand(()).item()


def test_a_seed_fixes_all_three_generators():
    seed_everything(3)
    first = draw()
    seed_everything(3)
    assert draw() == first
    seed_everything(4)
    assert all(a != b for a, b in zip(draw(), first, strict=True))


def test_a_state_brings_all_generators_back():
    seed_everything(0)
    draw()
    state = rng_state()
    first = draw()
    set_rng_state(state)
    assert draw() == first


def test_a_state_remembers_half_used_numbers():
    random.gauss(0, 1), np.random.standard_normal()
    state = rng_state()
    first = random.gauss(0, 1), np.random.standard_normal()
    set_rng_state(state)
    assert (random.gauss(0, 1), np.random.standard_normal()) == first


def test_what_is_drawn_undisturbed_is_not_missed():
    seed_everything(1)
    first = draw()
    seed_everything(1)
    with undisturbed():
        draw()
    assert draw() == first


def test_generators_come_back_after_an_error():
    seed_everything(1)
    first = draw()

    def fail():
        draw()
        raise RuntimeError

    seed_everything(1)
    with pytest.raises(RuntimeError), undisturbed():
        fail()
    assert draw() == first


def test_auto_finds_a_device_and_a_wrong_name_is_refused():
    kinds = {"cpu", "cuda", "mps", "xpu"}
    assert pick_device().type in kinds
    assert pick_device("cpu") == torch.device("cpu")
    with pytest.raises(ValueError, match="'abacus' is not to be had"):
        pick_device("abacus")


def test_threads_are_set_or_left():
    assert set_threads(2) == 2
    assert set_threads(None) == 2
    assert "2x" in describe_machine(torch.device("cpu"))
    assert set_threads(1) == 1
    assert torch.__version__ in describe_machine(torch.device("cpu"))


def test_a_peak_is_positive():
    peak = matmul_peak(torch.device("cpu"), torch.float32, rounds=1)
    assert 1e8 < peak < 1e15


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_noted_and_the_second_interrupts(number):
    before = signal.getsignal(number)
    with StopRequest() as request:
        assert request.signal is None
        os.kill(os.getpid(), number)
        assert request.signal == number
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_handlers_come_back_after_an_error():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RuntimeError), StopRequest():
        raise RuntimeError
    assert signal.getsignal(signal.SIGTERM) is before


def test_outside_the_main_thread_nothing_changes():
    said = []

    def work():
        with StopRequest() as request:
            said.append(request.signal)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert said == [None]


def test_generators_of_an_apple_gpu_come_back(monkeypatch):
    back = []
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: "there")
    monkeypatch.setattr(torch.mps, "set_rng_state", back.append)
    with undisturbed():
        pass
    assert back == ["there"]
    set_rng_state(rng_state() | {"mps": None})  # saved on another machine
    old = rng_state()
    del old["mps"]  # saved before it was kept
    set_rng_state(old)
    assert back == ["there"]


def test_a_peak_waits_for_any_accelerator(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.accelerator, "synchronize", waited.append)
    runtime._finish(torch.device("mps"))
    runtime._finish(torch.device("cpu"))
    assert waited == [torch.device("mps")]
