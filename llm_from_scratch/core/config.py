# Generated from chapters/appendix_run.md by `make export`. Do not edit.
"""Frozen dataclasses from TOML and back, and settings by dotted names."""

import dataclasses
import difflib
import json
import os
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, TypeGuard, TypeVar

import tomli_w
from pydantic import TypeAdapter, ValidationError

from llm_from_scratch.core.files import atomic_write

__all__ = [
    "ABSENT",
    "C",
    "check_value",
    "from_dict",
    "override",
    "read_toml",
    "setting_names",
    "settings",
    "to_dict",
    "toml_text",
    "type_name",
    "write_toml",
]


C = TypeVar("C")
ABSENT = "none"  # how None is written, which TOML and shells lack


def settings(config: Any) -> dict[str, Any]:
    """Every setting of a nested dataclass by its dotted name, in order."""
    found: dict[str, Any] = {}
    for one in dataclasses.fields(config):
        value = getattr(config, one.name)
        if dataclasses.is_dataclass(value):
            inner = settings(value)
            found |= {f"{one.name}.{key}": v for key, v in inner.items()}
        else:
            found[one.name] = value
    return found


def to_dict(config: Any) -> dict[str, Any]:
    """Nested plain values, as TOML and JSON have them; None is ABSENT."""
    found: dict[str, Any] = {}
    for name, value in settings(config).items():
        *sections, last = name.split(".")
        table = found
        for section in sections:
            table = table.setdefault(section, {})
        if isinstance(value, tuple):
            value = list(value)
        table[last] = ABSENT if value is None else value
    return found


def from_dict(kind: type[C], data: Mapping[str, Any], at: str = "") -> C:
    """A dataclass from nested plain values; what is absent has its default.

    ValueError, with the nearest name, for a name that does not exist; for a
    value of another type; and for what the dataclass itself refuses.
    """
    hints = _hints(kind)
    given: dict[str, Any] = {}
    for name, value in data.items():
        if name not in hints:
            raise ValueError(_unknown(f"{at}{name}", setting_names(kind, at)))
        hint, full = hints[name], f"{at}{name}"
        if _is_section(hint):
            if not isinstance(value, Mapping):
                raise ValueError(
                    f"{full} is a section of settings, not the value {value!r}"
                )
            given[name] = from_dict(hint, value, f"{full}.")
        else:
            given[name] = check_value(hint, value, full)
    try:
        return kind(**given)
    except TypeError:
        lacking = [name for name in _required(kind) if name not in given]
        raise ValueError(
            f"{at}{lacking[0] if lacking else '?'} has no default: give it"
        ) from None
    except ValueError as error:
        raise ValueError(f"{at}{error}" if at else str(error)) from None


def _hints(kind: Any) -> dict[str, Any]:
    """The type of each field, as it is at run time."""
    hints = typing.get_type_hints(kind)
    return {f.name: hints[f.name] for f in dataclasses.fields(kind)}


def _is_section(hint: Any) -> TypeGuard[type]:
    return dataclasses.is_dataclass(hint)


def _required(kind: Any) -> list[str]:
    nothing = dataclasses.MISSING
    return [
        field.name
        for field in dataclasses.fields(kind)
        if field.default is nothing and field.default_factory is nothing
    ]


def setting_names(kind: type, at: str = "") -> list[str]:
    """The dotted names of all settings of a dataclass."""
    found: list[str] = []
    for name, hint in _hints(kind).items():
        if _is_section(hint):
            found += setting_names(hint, f"{at}{name}.")
        else:
            found.append(f"{at}{name}")
    return found


def _unknown(name: str, known: list[str]) -> str:
    """What to say about a name that does not exist."""
    last = name.rpartition(".")[2]
    near = [k for k in known if k.rpartition(".")[2] == last]
    near += difflib.get_close_matches(name, known, 3, 0.6)
    if not near:
        tails = {k.rpartition(".")[2]: k for k in known}
        near = [tails[t] for t in difflib.get_close_matches(last, tails, 2)]
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
    return f"no setting is named {name!r}; {hint}"


def check_value(hint: Any, value: Any, name: str) -> Any:
    """The value as the type has it, or ValueError that names both.

    Strict as JSON is: an int may stand for a float and a list for a tuple,
    a string for nothing but a string, and ABSENT for None.
    """
    options = typing.get_args(hint) if _is_union(hint) else (hint,)
    if value == ABSENT and type(None) in options:
        return None
    try:
        text = json.dumps(value, allow_nan=False)
        return _adapter(hint).validate_json(text, strict=True)
    except (TypeError, ValueError) as error:
        reason = ""
        if isinstance(error, ValidationError):  # a kind of ValueError
            reason = f" ({error.errors()[0]['msg']})"
        raise ValueError(
            f"{name} must be {type_name(hint)}, got {value!r}{reason}"
        ) from None


@cache
def _adapter(hint: Any) -> Any:
    return TypeAdapter(hint)


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def type_name(hint: Any) -> str:
    """A type for people: "int or none", "'cosine' or 'wsd'"."""
    if typing.get_origin(hint) is typing.Literal:
        return " or ".join(repr(value) for value in typing.get_args(hint))
    if _is_union(hint):
        return " or ".join(type_name(part) for part in typing.get_args(hint))
    if hint is type(None):
        return ABSENT
    return hint.__name__ if isinstance(hint, type) else str(hint)


def override(config: C, changes: Iterable[str]) -> C:
    """The configuration with settings like "train.lr=0.002" changed.

    Values are read as TOML, and as a bare string if they are none; a list
    may be written with commas alone. ValueError as in `from_dict`.
    """
    kind, table = type(config), to_dict(config)
    for change in changes:
        name, equals, text = (part.strip() for part in change.partition("="))
        if not equals or not name:
            raise ValueError(
                f"{change!r} is not NAME=VALUE, such as train.lr=0.002"
            )
        *sections, last = name.split(".")
        part, hint = table, _find(kind, name)
        for section in sections:
            part = part[section]
        part[last] = _parse(text, hint)
    return from_dict(kind, table)


def _find(kind: type, name: str) -> Any:
    """The type of a setting."""
    if name not in setting_names(kind):
        raise ValueError(_unknown(name, setting_names(kind)))
    hint: Any = kind
    for part in name.split("."):
        hint = _hints(hint)[part]
    return hint


def _parse(text: str, hint: Any) -> Any:
    """A value as a shell gives it: TOML if it is that, else a string."""
    word = text.lower() if text in ("True", "False") else text
    word = f"0{word}" if word.startswith(".") else word
    try:
        value = tomllib.loads(f"value = {word}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    if typing.get_origin(hint) is tuple and not isinstance(value, list):
        words = [word.strip() for word in text.split(",") if word.strip()]
        return [_parse(word, None) for word in words]
    parts = typing.get_args(hint) if _is_union(hint) else (hint,)
    return text if str in parts and not isinstance(value, str) else value


def read_toml(kind: type[C], path: str | os.PathLike[str]) -> C:
    """Read a configuration. ValueError names the file, OSError if absent."""
    with open(path, "rb") as file:
        try:
            return from_dict(kind, tomllib.load(file))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is no TOML: {error}") from None
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None


def write_toml(config: Any, path: str | os.PathLike[str]) -> None:
    """Write every setting, defaults too, whole or not at all."""
    with atomic_write(path, "w") as file:
        file.write(toml_text(config))


def toml_text(config: Any) -> str:
    """Every setting as TOML."""
    return tomli_w.dumps(to_dict(config))
