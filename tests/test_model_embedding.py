"""Linear and Embedding: against PyTorch, tied, and at their edges."""

import copy
import math
import subprocess
import sys
import textwrap

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from llm_from_scratch.model.embedding import Embedding, Linear, check_range

FLOATS = [torch.float64, torch.float32, torch.bfloat16]


class Ends(nn.Module):
    """A bigram model: embedding and tied head."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = Embedding(11, 6), Linear(6, 11)
        self.head.weight = self.embed.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.embed(ids))


def test_linear_by_hand():
    layer = Linear(2, 3, bias=True)
    layer.weight.data = torch.tensor([[1.0, 2], [3, 4], [5, 6]])
    layer.bias.data = torch.tensor([0.5, 0, 0])
    assert layer(torch.tensor([10.0, 1])).tolist() == [12.5, 34, 56]


def test_embedding_by_hand():
    embed = Embedding(3, 2)
    embed.weight.data = torch.tensor([[1.0, 0], [0, 2], [3, 3]])
    assert embed(torch.tensor([[2, 0]])).tolist() == [[[3, 3], [1, 0]]]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(7,), (3, 7), (2, 5, 7), (0, 7), (2, 0, 7)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_is_torchs(dtype, shape, bias):
    ours = Linear(7, 5, bias, dtype=dtype)
    theirs = nn.Linear(7, 5, bias, dtype=dtype)
    ours.load_state_dict(theirs.state_dict())
    inputs = [torch.randn(shape, dtype=dtype).requires_grad_()] * 2
    outputs = [f(x) for f, x in zip((ours, theirs), inputs, strict=True)]
    assert torch.equal(*outputs)
    up = torch.randn_like(outputs[0])
    grads = [
        torch.autograd.grad(y, [x, *f.parameters()], up)
        for f, x, y in zip((ours, theirs), inputs, outputs, strict=True)
    ]
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(1,), (3, 7), (2, 3, 5), (0,), (0, 4)])
@pytest.mark.parametrize("kind", [torch.int64, torch.int32])
def test_embedding_is_torchs(dtype, shape, kind):
    ours = Embedding(9, 4, dtype=dtype)
    theirs = nn.Embedding(9, 4, dtype=dtype)
    ours.load_state_dict(theirs.state_dict())
    ids = torch.randint(9, shape, dtype=kind)
    assert torch.equal(ours(ids), theirs(ids))
    up = torch.randn(*shape, 4, dtype=dtype)
    grads = [
        torch.autograd.grad(f(ids), f.weight, up)[0] for f in (ours, theirs)
    ]
    assert torch.equal(*grads)


def test_looking_up_is_a_one_hot_product():
    embed, ids = Embedding(9, 4, dtype=torch.float64), torch.randint(9, (3, 5))
    one_hot = F.one_hot(ids, 9).double()
    assert_close(embed(ids), one_hot @ embed.weight)
    up = torch.randn(3, 5, 4, dtype=torch.float64)
    embed(ids).backward(up)
    expected = one_hot.flatten(0, 1).T @ up.flatten(0, 1)
    assert_close(embed.weight.grad, expected)


def test_linear_keeps_the_scale():
    layer = Linear(400, 300)
    assert layer.weight.std().item() == pytest.approx(1 / 20, rel=0.03)
    assert layer.weight.abs().max() <= 3 / 20
    y = layer(torch.randn(200, 400))
    assert y.std().item() == pytest.approx(1, rel=0.05)
    assert not Linear(3, 4, bias=True).bias.any()


def test_no_inputs_give_the_bias():
    assert not Linear(0, 3, bias=True)(torch.empty(2, 0)).any()


def test_embedding_starts_with_its_std():
    assert Embedding(500, 40).weight.std().item() == pytest.approx(
        0.02, rel=0.05
    )
    wide = Embedding(500, 40, std=1.5)
    assert abs(wide.weight.mean().item()) < 0.05  # 5 standard errors
    assert wide.weight.std().item() == pytest.approx(1.5, rel=0.05)


def test_tying_shares_one_parameter():
    model, ids = Ends(), torch.arange(10)
    assert sum(p.numel() for p in model.parameters()) == 66
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    F.cross_entropy(model(ids), ids + 1).backward()
    optimizer.step()
    for same in (model, copy.deepcopy(model), model.to(torch.float64)):
        assert same.head.weight is same.embed.weight
    model.load_state_dict(Ends().double().state_dict())
    assert model.head.weight is model.embed.weight


def test_a_tied_gradient_is_the_sum_of_both_ends():
    model, ids = Ends().double(), torch.arange(10)
    F.cross_entropy(model(ids), ids + 1).backward()
    table, head = (
        model.embed.weight.detach().clone().requires_grad_() for _ in range(2)
    )
    F.cross_entropy(table[ids] @ head.T, ids + 1).backward()
    assert_close(model.embed.weight.grad, table.grad + head.grad)


def test_gradients():
    layer = Linear(3, 4, bias=True, dtype=torch.float64)
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x)


def test_a_new_model_guesses_uniformly():
    ids = torch.randint(11, (4000,))
    loss = F.cross_entropy(Ends()(ids), torch.randint(11, (4000,)))
    assert loss.item() == pytest.approx(math.log(11), abs=0.01)


def test_names_and_sizes_are_torchs():
    assert list(Linear(2, 3).state_dict()) == ["weight"]
    assert list(Linear(2, 3, bias=True).state_dict()) == ["weight", "bias"]
    assert Linear(2, 3).weight.shape == (3, 2)
    assert Embedding(5, 3).weight.shape == (5, 3)
    assert str(Linear(2, 3)) == "Linear(2, 3)"
    assert str(Embedding(5, 3)) == "Embedding(5, 3)"


def test_device_and_dtype_are_kept():
    for layer in (
        Linear(2, 3, True, device="meta", dtype=torch.float16),
        Embedding(2, 3, device="meta", dtype=torch.float16),
    ):
        for p in layer.parameters():
            assert (p.device.type, p.dtype) == ("meta", torch.float16)


@pytest.mark.parametrize(
    ("ids", "bad"), [([3, 9], 9), ([-1, 2], -1), ([-7, 99], -7)]
)
def test_outside_ids_are_errors(ids, bad):
    message = f"token id {bad} is out of range: there are 9, numbered 0 to 8"
    with pytest.raises(ValueError, match=message):
        Embedding(9, 4)(torch.tensor(ids))


class OnMps(torch.Tensor):
    """A CPU tensor that says that it is on Apple's GPU."""

    @property
    def device(self):
        return torch.device("mps")


def test_on_mps_ids_are_checked_since_its_kernel_gives_zeros():
    ids = torch.tensor([1, 9]).as_subclass(OnMps)
    with pytest.raises(ValueError, match="token id 9 is out of range"):
        check_range(ids, 9, "token id")
    check_range(ids, 10, "token id")


def test_the_check_waits_for_no_device():
    check_range(torch.tensor([99], device="meta"), 9, "token id")
    check_range(torch.empty(0, dtype=torch.long), 9, "token id")
    check_range(torch.tensor([0, 8]), 9, "token id")


@pytest.mark.slow
def test_compiled_without_a_break():
    """In a process without the checks of signatures, which cannot compile."""
    code = """
    import torch
    from llm_from_scratch.model.embedding import Embedding, Linear
    model = torch.nn.Sequential(Embedding(11, 6), Linear(6, 11))
    model[1].weight = model[0].weight
    compiled = torch.compile(model, fullgraph=True)
    ids = torch.tensor([[1, 10, 0]])
    torch.testing.assert_close(compiled(ids), model(ids))
    try:
        compiled(torch.tensor([[1, 11, 0]]))
    except RuntimeError as error:
        assert "out of bounds" in str(error)
    else:
        raise AssertionError("an id outside went through")
"""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
