"""The Triton kernel: interpreted on the CPU, compiled for a GPU not at hand.

Triton interprets only if it is told so before its import, so these checks run
in a process of their own; an error there is raised again here.
"""

import math
import multiprocessing
import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec, module_from_spec
from itertools import product

import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.testing import assert_close

from llm_from_scratch.model.flash import (
    check_alike,
    flash_forward_triton,
    flash_kernel,
    suits_triton,
    tile_sizes,
)

HAS_TRITON = find_spec("triton") is not None
needs_triton = pytest.mark.skipif(not HAS_TRITON, reason="no Triton here")
MODULE = flash_forward_triton.__module__
DTYPES = [torch.float32, torch.float16, torch.bfloat16]
# T, S, D: one, full tiles, just over and under them, T < S, T > S, odd D
SIZES = [
    (1, 1, 16), (64, 64, 64), (65, 63, 24), (31, 130, 80), (130, 31, 7),
]  # fmt: skip


def draw(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape).to(dtype)


def naive(q: Tensor, k: Tensor, v: Tensor, is_causal: bool):
    """Attention and log-sum-exp in float64, all scores at once."""
    q, k, v = q.double(), k.double(), v.double()
    scores = q @ k.mT / q.shape[-1] ** 0.5
    if is_causal:
        past = torch.ones_like(scores, dtype=torch.bool).tril()
        scores = scores.masked_fill(~past, -torch.inf)
    return scores.softmax(-1) @ v, scores.logsumexp(-1)


def close_to_naive(q: Tensor, k: Tensor, v: Tensor, is_causal: bool) -> None:
    """The result rounds to the inputs' dtype, the log-sum-exp to float32."""
    y, lse = flash_forward_triton(q, k, v, is_causal)
    expected, expected_lse = naive(q, k, v, is_causal)
    eps = torch.finfo(q.dtype).eps
    assert y.dtype == q.dtype
    assert lse.dtype == torch.float32
    top = max(1, v.abs().max().item())
    assert_close(y.double(), expected, rtol=0, atol=4 * eps * top)
    assert_close(lse.double(), expected_lse, rtol=1e-6, atol=4e-6)


# ---- The process that interprets


def bfloat16_products() -> None:
    """Let the interpreter multiply bfloat16, which it keeps as integers."""
    import numpy as np
    import triton.language as tl
    from triton.runtime import interpreter

    def widen(x):
        if x.dtype.scalar != tl.bfloat16:
            return x
        bits = x.data.astype(np.uint32) << 16
        return interpreter.TensorHandle(bits.view(np.float32), tl.float32)

    builder = interpreter.InterpreterBuilder
    dot = builder.create_dot
    builder.create_dot = lambda self, a, b, *rest: dot(
        self, widen(a), widen(b), *rest
    )


def check(function: Callable[..., None], *args) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    function(*args)


@pytest.fixture(scope="module")
def interpret() -> Iterator[Callable[..., None]]:
    """Call a check of this file where Triton interprets."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TRITON_INTERPRET", "1")
            pool.submit(bfloat16_products).result()  # starts the process
        yield lambda *args: pool.submit(check, *args).result()


# ---- By hand


def equal_scores_give_the_mean():
    q, k = torch.zeros(1, 16), draw(4, 16)
    v = torch.arange(64.0).reshape(4, 16)
    y, lse = flash_forward_triton(q, k, v, False)
    assert_close(y[0], torch.arange(24.0, 40.0))  # mean of the four rows
    assert_close(lse, torch.tensor([math.log(4)]))
    y, lse = flash_forward_triton(q.expand(4, 16), k, v, True)
    assert_close(y[:, 0], torch.tensor([0.0, 8.0, 16.0, 24.0]))
    assert_close(lse, torch.arange(1.0, 5.0).log())


@needs_triton
def test_equal_scores_give_the_mean(interpret):
    interpret(equal_scores_give_the_mean)


# ---- Against the naive formula


def matches_naive(sizes, dtype, is_causal):
    T, S, D = sizes
    q = draw(2, 3, T, D, dtype=dtype)
    k, v = (draw(2, 3, S, D, dtype=dtype) for _ in range(2))
    close_to_naive(q, k, v, is_causal)


@needs_triton
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", SIZES)
def test_kernel_matches_naive(interpret, sizes, dtype, is_causal):
    interpret(matches_naive, sizes, dtype, is_causal)


# ---- Properties and edges


def large_scores_do_not_overflow():
    q, k, v = (draw(1, 70, 16) for _ in range(3))
    close_to_naive(1e3 * q, k, v, False)
    # Every tile brings a larger score: what was read before fades to nothing.
    k = torch.arange(70.0)[:, None].expand(70, 16).contiguous()
    y, _ = flash_forward_triton(torch.full((1, 16), 100.0), k, v[0], False)
    assert_close(y[0], v[0, -1])


@needs_triton
def test_large_scores_do_not_overflow(interpret):
    interpret(large_scores_do_not_overflow)


def nothing_past_the_edges_is_read():
    q, k, v = (torch.full((1, 100, 10), torch.nan) for _ in range(3))
    for x in (q, k, v):
        x[0, :40] = draw(40, 10)
    close_to_naive(q[0, :40], k[0, :40], v[0, :40], False)
    # Nor what the causal mask hides, as far as whole tiles are concerned.
    y, _ = flash_forward_triton(q[0, :32], k[0, :64], v[0, :64], True)
    assert y.isfinite().all()


@needs_triton
def test_nothing_past_the_edges_is_read(interpret):
    interpret(nothing_past_the_edges_is_read)


def nothing_past_the_edges_is_written():
    q, k, v = (draw(40, 10) for _ in range(3))
    y, lse = torch.full((100, 10), 7.0), torch.full((100,), 7.0)
    flash_kernel[(2,)](
        q, k, v, y, lse, 1.0, 40, 40,
        D=10, WIDTH=16, ROWS=32, IS_CAUSAL=False,
    )  # fmt: skip
    assert (y[:40] != 7).all()
    assert (y[40:] == 7).all()
    assert (lse[40:] == 7).all()


@needs_triton
def test_nothing_past_the_edges_is_written(interpret):
    interpret(nothing_past_the_edges_is_written)


def lengths_may_be_zero():
    for T, S, is_causal in product((0, 3), (0, 3), (False, True)):
        q, k = draw(2, T, 16), draw(2, S, 16)
        y, lse = flash_forward_triton(q, k, k, is_causal)
        assert y.shape == (2, T, 16)
        if S == 0:
            assert (y == 0).all()
            assert (lse == -torch.inf).all()
    assert flash_forward_triton(q[:0], k[:0], k[:0], True)[0].numel() == 0


@needs_triton
def test_lengths_may_be_zero(interpret):
    interpret(lengths_may_be_zero)


def strides_do_not_matter():
    q, k, v = (draw(2, 40, 3, 16).transpose(1, 2) for _ in range(3))
    close_to_naive(q, k, v, True)
    close_to_naive(q[0, 0], k[0, 0], v[0, 0], True)  # no axis of heads


@needs_triton
def test_strides_do_not_matter(interpret):
    interpret(strides_do_not_matter)


# ---- What the compiler makes of it, without a GPU


def compile_kernel(D: int, dtype: torch.dtype):
    """Compile, as launched, for an NVIDIA GPU of the Ampere generation."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    name = {torch.float32: "*fp32", torch.bfloat16: "*bf16"}[dtype]
    types = dict.fromkeys(["q", "k", "v", "y"], name)
    types |= {"lse": "*fp32", "scale": "fp32", "T": "i32", "S": "i32"}
    width, rows = tile_sizes(D, dtype)
    constants = {"D": D, "WIDTH": width, "ROWS": rows, "IS_CAUSAL": True}
    types |= dict.fromkeys(constants, "constexpr")
    source = ASTSource(flash_kernel, types, constants)
    return compile(source, target=GPUTarget("cuda", 80, 32))


@needs_triton
@pytest.mark.parametrize("D", [7, 128])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_kernel_compiles_for_a_gpu(monkeypatch, tmp_path, dtype, D):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    code = compile_kernel(D, dtype)
    # Places are computed in 64 bits: a tensor may pass 2^31 numbers.
    places = re.findall(r"tt.addptr .*, tensor<.*x(i\d+)>", code.asm["ttir"])
    assert set(places) == {"i64"}
    # bfloat16 goes to the tensor cores; float32 is not cut to TF32 for them.
    ptx = code.asm["ptx"]
    assert ("mma.sync" in ptx) == (dtype == torch.bfloat16)
    assert "tf32" not in ptx
    assert code.metadata.shared <= 99 * 1024  # what consumer GPUs offer


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", [*SIZES, (1000, 1000, 128), (300, 300, 256)])
def test_kernel_matches_naive_on_a_gpu(sizes, dtype, is_causal):
    T, S, D = sizes
    q = draw(2, 3, T, D, dtype=dtype).cuda()
    k, v = (draw(2, 3, S, D, dtype=dtype).cuda() for _ in range(2))
    close_to_naive(q, k, v, is_causal)


@needs_triton
def test_the_kernel_is_for_gpus():
    def suits(device="cuda", dtype=torch.bfloat16, D=64, E=64):
        q, v = (
            torch.empty(2, 9, n, dtype=dtype, device=device) for n in (D, E)
        )
        return suits_triton(q, q, v)

    with FakeTensorMode():  # tensors without numbers need no GPU
        assert suits()
        assert suits(D=256, E=256)
        assert not suits(device="cpu")
        assert not suits(dtype=torch.float64)
        assert not suits(E=32)
        assert not suits(D=512, E=512)
        full = torch.empty(2, 9, 64, device="cuda")
        half = full.bfloat16()  # as autocast leaves what no norm has passed
        for q, k, v in product((full, half), repeat=3):
            assert suits_triton(q, k, v) == (q.dtype == k.dtype == v.dtype)


# ---- Errors


@needs_triton
def test_unlike_inputs_are_refused():
    q, k = draw(1, 2, 8, 16), draw(1, 1, 8, 16)
    with pytest.raises(ValueError, match=r"shape \(1, 2, 8, 16\).*\(1, 1, 8"):
        check_alike(q, k, k)
    with pytest.raises(ValueError, match=r"float16 on cpu, torch\.float32"):
        flash_forward_triton(q, q.half(), q.half(), True)
    with pytest.raises(ValueError, match=r"bfloat16, got torch\.float64"):
        flash_forward_triton(q.double(), q.double(), q.double(), True)


def test_module_works_without_triton(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    spec = find_spec(MODULE)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    q = draw(2, 4, 16)
    with pytest.raises(ImportError, match="pip install triton"):
        module.flash_forward_triton(q, q, q, True)
