"""RoPE: by hand, against transformers, its demand, and its edges."""

import math
import subprocess
import sys
import textwrap

import pytest
import torch
from torch.testing import assert_close
from transformers import LlamaConfig
from transformers.models.llama import modeling_llama as llama

from llm_from_scratch.model.rope import (
    RotaryEmbedding,
    apply_rotary,
    half_to_interleaved,
    interleaved_to_half,
    rope_frequencies,
    sinusoidal_positions,
)

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
SHAPES = [(2, 3, 37, 64), (3, 3, 5, 10), (1, 1, 1, 2), (0, 4, 7, 16)]


def rotate_complex(x, positions, theta=10000.0):
    """The definition: neighbors are complex and turn by m theta_j."""
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
    j = torch.arange(pairs.shape[-1], dtype=x.dtype)
    angle = positions[..., None] * theta ** (-2 * j / x.shape[-1])
    return torch.view_as_real(pairs * torch.exp(1j * angle)).flatten(-2)


def test_a_quarter_turn_by_hand():
    rope = RotaryEmbedding(2)
    cos, sin = torch.tensor([[0.0]]), torch.tensor([[1.0]])
    turned = apply_rotary(torch.tensor([[3.0, 4.0]]), cos, sin)
    assert turned.tolist() == [[-4, 3]]  # (3 + 4i) i = -4 + 3i
    x = torch.tensor([[1.0, 0.0]])
    expected = torch.tensor([[math.cos(2), math.sin(2)]])
    assert_close(rope(x, torch.tensor([2])), expected)


def test_frequencies_by_hand():
    expected = torch.tensor([1, 0.1, 0.01, 0.001])
    assert_close(rope_frequencies(8), expected)
    assert_close(rope_frequencies(4, 25.0), torch.tensor([1, 0.2]))


@pytest.mark.parametrize("theta", [10000.0, 500000.0, 100.0])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_rotation_is_llamas(shape, dtype, theta):
    batch, heads, length, width = shape
    config = LlamaConfig(
        hidden_size=heads * width,
        num_attention_heads=heads,
        head_dim=width,
        max_position_embeddings=300,
        rope_parameters={"rope_type": "default", "rope_theta": theta},
    )
    q = torch.randn(shape, dtype=dtype, requires_grad=True)
    k = torch.randn(batch, 1, length, width, dtype=dtype, requires_grad=True)
    at = torch.randint(300, (batch, length))
    cos, sin = llama.LlamaRotaryEmbedding(config)(q, at)
    theirs = llama.apply_rotary_pos_emb(q, k, cos, sin)
    tables = RotaryEmbedding(width, theta, 300).tables(at, dtype)
    for x, y in zip((q, k), theirs, strict=True):
        ours, up = apply_rotary(x, *tables), torch.randn_like(y)
        assert torch.equal(ours, y)
        (one,), (two,) = (torch.autograd.grad(z, x, up) for z in (ours, y))
        assert torch.equal(one, two)


def test_halves_are_the_complex_rotation():
    x, at = torch.randn(5, 16, dtype=torch.float64), torch.arange(5)
    turned = RotaryEmbedding(16)(interleaved_to_half(x, 16, -1), at)
    expected = interleaved_to_half(rotate_complex(x, at), 16, -1)
    assert_close(turned, expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("shift", [1, 17, 1000])
def test_scores_depend_on_the_shift_alone(shift):
    rope = RotaryEmbedding(32)
    q, k = torch.randn(2, 9, 32, dtype=torch.float64)
    at = torch.arange(9)
    here = rope(q, at) @ rope(k, at).T
    there = rope(q, at + shift) @ rope(k, at + shift).T
    assert_close(here, there, atol=2e-3, rtol=0)  # float32 angles at 1000
    moved = rope(q, at + shift) @ rope(k, at).T
    assert (moved - here).abs().max() > 0.5


def test_distance_zero_is_the_plain_product():
    rope = RotaryEmbedding(32)
    q, k = torch.randn(2, 1, 32)
    for m in (0, 3, 999):
        at = torch.tensor([m])
        assert_close((rope(q, at) * rope(k, at)).sum(), (q * k).sum())
    assert torch.equal(rope(q, torch.tensor([0])), q)


def test_lengths_are_kept():
    x = torch.randn(2, 3, 50, 64)
    turned = RotaryEmbedding(64)(x, torch.arange(50) * 40)
    assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    pairs = torch.complex(*x.chunk(2, -1)).abs()
    assert_close(torch.complex(*turned.chunk(2, -1)).abs(), pairs)


def test_pieces_turn_like_the_whole():
    rope, x = RotaryEmbedding(16), torch.randn(2, 3, 20, 16)
    whole = rope(x, torch.arange(20))
    pieces = [
        rope(x[:, :, i:j], torch.arange(i, j))
        for i, j in ((0, 7), (7, 8), (8, 8), (8, 20))
    ]
    assert torch.equal(torch.cat(pieces, 2), whole)
    late = rope(x[:, :, 7:], torch.arange(6, 19))  # the place repeated
    assert (late - whole[:, :, 7:]).abs().max() > 0.1


def test_batched_positions_belong_to_texts():
    rope, x = RotaryEmbedding(8), torch.randn(2, 2, 5, 8)  # 2 texts, 2 heads
    at = torch.stack([torch.arange(5), torch.arange(5) + 9])
    turned = rope(x, at)
    for text in range(2):
        for head in range(2):
            alone = rope(x[text, head], at[text])
            assert torch.equal(turned[text, head], alone)
    assert torch.equal(rope(x[:, 0], at), turned[:, 0])
    one = rope(x, at[:1])  # a batch axis of one serves all texts
    assert torch.equal(one, rope(x, at[0]))


def test_tables_are_shared_by_all_layers():
    rope, x = RotaryEmbedding(8), torch.randn(2, 3, 5, 8)
    tables = rope.tables(torch.arange(5))
    assert [t.shape for t in tables] == [(5, 4), (5, 4)]
    assert torch.equal(apply_rotary(x, *tables), rope(x, torch.arange(5)))
    low = rope.tables(torch.arange(5), torch.bfloat16)
    assert [t.dtype for t in low] == [torch.bfloat16] * 2


def test_low_precision_stays_low():
    rope, x = RotaryEmbedding(8), torch.randn(2, 5, 8).bfloat16()
    turned = apply_rotary(x, *rope.tables(torch.arange(5)))
    assert turned.dtype == torch.bfloat16
    assert torch.equal(turned, rope(x, torch.arange(5)))


def test_tables_are_not_saved():
    assert not RotaryEmbedding(8).state_dict()
    assert not list(RotaryEmbedding(8).parameters())


@pytest.mark.parametrize("low", [torch.bfloat16, torch.float16])
def test_tables_survive_casts(low):
    rope, fresh = RotaryEmbedding(8).to(low), RotaryEmbedding(8)
    for name in ("cos", "sin"):
        assert torch.equal(getattr(rope, name), getattr(fresh, name))
    assert torch.equal(rope.double().cos, fresh.cos)


def test_tables_are_filled_after_meta():
    rope = RotaryEmbedding(8, device="meta")
    assert rope.cos.device.type == "meta"
    assert torch.equal(rope.to_empty(device="cpu").cos, RotaryEmbedding(8).cos)
    assert rope.to("meta").cos.device.type == "meta"
    with torch.device("meta"):
        hidden = RotaryEmbedding(8, 500.0, 64)
    full = hidden.to_empty(device="cpu")
    assert torch.equal(full.sin, RotaryEmbedding(8, 500.0, 64).sin)


def test_far_places_keep_their_angle():
    rope = RotaryEmbedding(64, max_seq_len=5000).bfloat16()
    cos, sin = rope.tables(torch.tensor([4097, 4098]))
    angles = torch.atan2(sin, cos)[:, 0]  # the fastest pair: 1 a place
    step = (angles[1] - angles[0]) % (2 * math.pi)
    assert step.item() == pytest.approx(1, abs=1e-3)


def test_angles_are_near_those_of_float64():
    rope = RotaryEmbedding(64, max_seq_len=8192)
    exact = 10000.0 ** (-torch.arange(0, 64, 2).double() / 64)
    angles = torch.arange(8192)[:, None] * exact
    assert (rope.cos - angles.cos()).abs().max() < 2e-3


def test_gradients():
    rope, at = RotaryEmbedding(6), torch.tensor([[0, 3], [5, 1]])
    x = torch.randn(2, 3, 2, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: rope(x, at), x)
    up = torch.randn_like(x)
    (grad,) = torch.autograd.grad(rope(x, at), x, up)
    back = apply_rotary(up, rope.tables(at)[0], -rope.tables(at)[1])
    assert_close(grad, back)  # the transpose turns back


def test_layouts_are_permutations_of_each_other():
    x = torch.arange(16.0)
    half = interleaved_to_half(x, 8, -1)
    assert half.tolist()[:8] == [0, 2, 4, 6, 1, 3, 5, 7]
    assert half.tolist()[8:] == [8, 10, 12, 14, 9, 11, 13, 15]
    assert torch.equal(half_to_interleaved(half, 8, -1), x)
    assert not torch.equal(half_to_interleaved(x, 8, -1), half)
    w = torch.randn(16, 3)
    assert torch.equal(interleaved_to_half(w, 8)[1], w[2])
    assert torch.equal(interleaved_to_half(half_to_interleaved(w, 8), 8), w)


def test_permuted_weights_give_the_same_scores():
    rope, at = RotaryEmbedding(8), torch.arange(5)
    x, w_q, w_k = torch.randn(5, 12), torch.randn(16, 12), torch.randn(16, 12)
    old, new = [], []
    for w in (w_q, w_k):
        heads = (x @ w.T).unflatten(-1, (2, 8)).transpose(0, 1)
        old.append(rotate_complex(heads, at))
        permuted = (x @ interleaved_to_half(w, 8).T).unflatten(-1, (2, 8))
        new.append(rope(permuted.transpose(0, 1), at))
    expected = old[0] @ old[1].mT
    assert_close(new[0] @ new[1].mT, expected, atol=1e-4, rtol=1e-4)


def test_waves_by_hand():
    waves = sinusoidal_positions(3, 4)
    row = [math.sin(2), math.cos(2), math.sin(0.02), math.cos(0.02)]
    assert_close(waves[2], torch.tensor(row))
    assert waves[0].tolist() == [0, 1, 0, 1]


def test_far_waves_are_exact():
    freq = rope_frequencies(8).double()
    far = torch.tensor([511.0, 1023.0]).double()[:, None] * freq
    waves = sinusoidal_positions(1024, 8)[[511, 1023]]
    assert_close(waves[:, ::2], far.sin().float(), atol=1e-6, rtol=0)
    assert_close(waves[:, 1::2], far.cos().float(), atol=1e-6, rtol=0)


def test_waves_have_height_one():
    waves = sinusoidal_positions(500, 64)
    assert_close(waves.norm(dim=1), torch.full((500,), 32**0.5))


def test_a_step_turns_every_wave_by_its_angle():
    waves = sinusoidal_positions(100, 16).double()
    hands = torch.complex(waves[:, 1::2], waves[:, ::2])
    turn = torch.exp(1j * 7 * rope_frequencies(16).double())
    assert_close(hands[7:], hands[:-7] * turn, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("place", "size"), [(64, 64), (-1, 64), (2048, None)])
def test_outside_positions_are_errors(place, size):
    rope = RotaryEmbedding(8) if size is None else RotaryEmbedding(8, 1e4, size)
    with pytest.raises(ValueError, match=f"position {place} is out of range"):
        rope(torch.randn(2, 8), torch.tensor([0, place]))


def test_bad_sizes_are_errors():
    for make in (RotaryEmbedding, rope_frequencies):
        for width in (7, 0, -2):
            with pytest.raises(ValueError, match=f"got {width}"):
                make(width)
        with pytest.raises(ValueError, match="theta must be positive, got 0"):
            make(8, 0.0)
    with pytest.raises(ValueError, match="even"):
        sinusoidal_positions(4, 5)
    with pytest.raises(ValueError, match="turn 8 components, but x has 16"):
        RotaryEmbedding(8)(torch.randn(2, 16), torch.arange(2))


@pytest.mark.parametrize(("width", "size"), [(8, 12), (3, 12), (0, 12)])
def test_bad_heads_are_errors(width, size):
    for f in (interleaved_to_half, half_to_interleaved):
        with pytest.raises(ValueError, match=f"axis 0 of {size}.*{width}"):
            f(torch.randn(size), width)


@pytest.mark.slow
def test_compiled_without_a_break():
    """In a process without the checks of signatures, which cannot compile."""
    code = """
    import torch
    from llm_from_scratch.model.rope import RotaryEmbedding
    rope, x = RotaryEmbedding(16), torch.randn(2, 3, 5, 16)
    at = torch.stack([torch.arange(5), torch.arange(5) + 4])
    compiled = torch.compile(rope, fullgraph=True)
    torch.testing.assert_close(compiled(x, at), rope(x, at))
"""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
