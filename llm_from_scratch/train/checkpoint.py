# Generated from chapters/appendix_trainer.md by `make export`. Do not edit.
"""The state of a run in files that are whole, checked, and hold no code.

A file is safetensors: the length of a JSON header in 8 bytes, the header,
the tensors' bytes. The header's `__metadata__` has the tree of plain values,
in which tensors stand by name, and a CRC-32 of the header and each tensor.
"""

import json
import os
import zlib
from collections.abc import Callable, Mapping
from io import BufferedIOBase
from typing import IO, Any, NamedTuple, NoReturn

import torch
from torch import Tensor, nn

from llm_from_scratch.core.files import atomic_write

__all__ = [
    "BinaryFile",
    "CheckpointError",
    "Packed",
    "StateFile",
    "Where",
    "load_checkpoint",
    "load_model_state",
    "on_cpu",
    "pack",
    "read_state",
    "save_checkpoint",
    "unpack",
    "write_state",
]


class CheckpointError(ValueError):
    """A checkpoint that is absent, damaged or of another kind."""


class Packed(NamedTuple):
    """A state taken apart: a tree that JSON can hold, and its tensors."""

    tree: Any
    tensors: dict[str, Tensor]


def pack(state: Any) -> Packed:
    """Take a state of tensors, plain values and containers apart.

    The tree says what is a dict, a tuple, a tensor; tensors that share
    their memory, like tied weights, are kept once. ValueError for others.
    """
    tensors: dict[str, Tensor] = {}
    places: dict[tuple[Any, ...], str] = {}

    def below(name: str, key: Any) -> str:
        if not isinstance(key, str | int):
            raise ValueError(f"key {key!r} of {name!r} is no string or int")
        return f"{name}/{key}" if name else str(key)

    def walk(value: Any, name: str) -> Any:
        if isinstance(value, Tensor):
            at: tuple[Any, ...] = (value.data_ptr(), value.device, value.dtype)
            at += (tuple(value.shape), value.stride())
            known = name if not value.numel() else places.setdefault(at, name)
            if known == name and name in tensors:
                raise ValueError(f"two tensors would be stored as {name!r}")
            tensors[known] = value.detach()
            return {"tensor": known}
        if isinstance(value, Mapping):
            pairs = [[k, walk(v, below(name, k))] for k, v in value.items()]
            return {"dict": pairs}
        if isinstance(value, list | tuple):
            items = [walk(v, below(name, i)) for i, v in enumerate(value)]
            return items if isinstance(value, list) else {"tuple": items}
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise ValueError(
            f"{name} is a {type(value).__name__}; a checkpoint holds "
            "tensors, numbers, strings, None, lists, tuples and dicts"
        )

    return Packed(walk(state, ""), tensors)


def unpack(tree: Any, tensor: Callable[[str], Tensor]) -> Any:
    """The state of a tree again; `tensor` finds each tensor by its name."""
    if isinstance(tree, list):
        return [unpack(item, tensor) for item in tree]
    if not isinstance(tree, dict):
        return tree
    kind, value = next(iter(tree.items()))
    if kind == "tensor":
        return tensor(value)
    if kind == "tuple":
        return tuple(unpack(item, tensor) for item in value)
    return {key: unpack(item, tensor) for key, item in value}


BinaryFile = BufferedIOBase | IO[bytes]
_LAYOUT = "llm_from_scratch state 1"
_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_DTYPES = {name: dtype for dtype, name in _NAMES.items()}


def _raw(tensor: Tensor) -> memoryview:
    """The bytes of a tensor in the memory of the CPU, without a copy."""
    flat = tensor.contiguous().flatten().view(torch.uint8)
    return flat.numpy().data


def _sum_of(about: Mapping[str, str], table: Mapping[str, Any]) -> int:
    """CRC-32 of all that a header says, except of this sum."""
    said = [about["layout"], about["state"], about["sums"]]
    return zlib.crc32(json.dumps([said, table]).encode())


def write_state(packed: Packed, file: BinaryFile) -> None:
    """Write a state as safetensors, checksums first, then in one pass."""
    table, sums, end = {}, {}, 0
    for name, tensor in packed.tensors.items():
        start, end = end, end + tensor.nbytes
        sums[name] = zlib.crc32(_raw(tensor))
        table[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    about = {"layout": _LAYOUT, "state": json.dumps(packed.tree)}
    about["sums"] = json.dumps(sums)
    about["sum"] = str(_sum_of(about, table))
    header = json.dumps({"__metadata__": about, **table}).encode()
    header += b" " * (-len(header) % 8)
    file.write(len(header).to_bytes(8, "little") + header)
    for tensor in packed.tensors.values():
        file.write(_raw(tensor))


def on_cpu(packed: Packed, buffers: dict[str, Tensor]) -> Packed:
    """Copy all tensors to the CPU, into `buffers` where they fit.

    New memory costs more than the copy: give the same buffers each time.
    """
    for name, tensor in packed.tensors.items():
        old = buffers.get(name)
        if old is None or (old.shape, old.dtype) != (
            tensor.shape,
            tensor.dtype,
        ):
            pin = tensor.device.type == "cuda"  # such a copy can run beside
            old = torch.empty_like(
                tensor,
                device="cpu",
                pin_memory=pin,
                memory_format=torch.contiguous_format,
            )
        buffers[name] = old.copy_(tensor, non_blocking=True)
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    copies = {name: buffers[name] for name in packed.tensors}
    return Packed(packed.tree, copies)


class StateFile:
    """A state file that is open for reading: its header is checked.

    `state()` reads everything, `state("parts", "model")` only that branch.
    CheckpointError, naming the file and what differs, if it is damaged.
    """

    def __init__(self, file: BinaryFile, name: str = "the file") -> None:
        self._file, self.name = file, name
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        length = int.from_bytes(file.read(8), "little")
        if size < 8 + length or length < 2:
            self._fail(f"{size} bytes are too few for its header")
        try:
            table = json.loads(file.read(length))
            about = table.pop("__metadata__")
            good = about["layout"] == _LAYOUT
            whole = str(_sum_of(about, table)) == about["sum"]
        except (ValueError, KeyError, AttributeError, TypeError):
            self._fail("it has no header of a checkpoint")
        if not good or not whole:
            self._fail("its header does not fit its checksum")
        self._tree = json.loads(about["state"])
        self._sums, self._table = json.loads(about["sums"]), table
        self._start = 8 + length
        ends = (entry["data_offsets"][1] for entry in table.values())
        if size != (due := self._start + max(ends, default=0)):
            self._fail(f"it has {size} bytes and should have {due}")

    def _fail(self, why: str) -> NoReturn:
        raise CheckpointError(f"{self.name} is damaged: {why}")

    def state(self, *branch: str) -> Any:
        """The state, or the part under these keys."""
        tree = self._tree
        for key in branch:
            pairs = tree.get("dict", []) if isinstance(tree, dict) else []
            found = [inner for name, inner in pairs if name == key]
            if not found:
                raise CheckpointError(
                    f"{self.name} holds no {'/'.join(branch)}: it is not the "
                    "checkpoint of a run"
                )
            tree = found[0]
        tensors: dict[str, Tensor] = {}

        def tensor(name: str) -> Tensor:
            if name not in tensors:
                tensors[name] = self._tensor(name)
            return tensors[name]

        return unpack(tree, tensor)

    def _tensor(self, name: str) -> Tensor:
        entry = self._table[name]
        tensor = torch.empty(entry["shape"], dtype=_DTYPES[entry["dtype"]])
        self._file.seek(self._start + entry["data_offsets"][0])
        raw = _raw(tensor)
        self._file.readinto(raw)  # type: ignore[union-attr]
        if zlib.crc32(raw) != self._sums[name]:
            self._fail(f"the bytes of {name} do not fit their checksum")
        return tensor


Where = str | os.PathLike[str]


def read_state(source: Where | BinaryFile, *branch: str) -> Any:
    """A state file's content, or the part of it under the keys `branch`."""
    if not isinstance(source, str | os.PathLike):
        return StateFile(source).state(*branch)
    try:
        with open(source, "rb") as file:
            return StateFile(file, str(source)).state(*branch)
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no checkpoint {source}") from error


def load_model_state(source: Where | BinaryFile) -> dict[str, Tensor]:
    """The weights alone from the checkpoint of a run, by their names."""
    return dict(read_state(source, "parts", "model"))


def save_checkpoint(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    iteration: int,
    out: Where | BinaryFile,
) -> None:
    """Write model, optimizer and iteration to a path or a binary file."""
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    packed = on_cpu(pack({**state, "iteration": iteration}), {})
    if not isinstance(out, str | os.PathLike):
        write_state(packed, out)
        return
    with atomic_write(out) as file:
        write_state(packed, file)


def load_checkpoint(
    src: Where | BinaryFile,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> int:
    """Put back what `save_checkpoint` wrote; return its iteration."""
    state = read_state(src)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["iteration"])
