"""Settings: to TOML and back, by dotted names, and what they refuse."""

from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import settings as rules
from hypothesis import strategies as st

from llm_from_scratch.core.config import (
    check_value,
    from_dict,
    override,
    read_toml,
    setting_names,
    settings,
    to_dict,
    toml_text,
    write_toml,
)


@dataclass(frozen=True, kw_only=True)
class Inner:
    """Settings."""

    lr: float = 1e-3
    steps: int = 10
    betas: tuple[float, float] = (0.9, 0.95)
    kind: Literal["a", "b"] = "a"
    parts: int | None = None
    word: str | None = None
    names: tuple[str, ...] = ("x",)
    flag: bool = True

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise ValueError(f"lr must be positive, got {self.lr}")


@dataclass(frozen=True, kw_only=True)
class Outer:
    """Settings."""

    title: str = "t"
    train: Inner = field(default_factory=Inner)


@dataclass(frozen=True, kw_only=True)
class Needy:
    """Settings."""

    size: int


def test_settings_are_named_by_their_path():
    assert list(settings(Outer()))[:2] == ["title", "train.lr"]
    assert setting_names(Outer) == list(settings(Outer()))


def test_none_has_a_word_and_tuples_are_lists():
    table = to_dict(Outer())["train"]
    assert table["parts"] == "none"
    assert table["names"] == ["x"]


@rules(max_examples=40)
@given(
    lr=st.floats(1e-9, 1e9),
    steps=st.integers(-(2**63), 2**63 - 1),
    parts=st.none() | st.integers(0, 9),
    names=st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
    ),
    flag=st.booleans(),
)
def test_toml_gives_back_what_it_got(
    tmp_path_factory, lr, steps, parts, names, flag
):
    config = Outer(
        train=Inner(
            lr=lr, steps=steps, parts=parts, names=tuple(names), flag=flag
        )
    )
    path = tmp_path_factory.mktemp("toml") / "config.toml"
    write_toml(config, path)
    assert read_toml(Outer, path) == config
    assert path.read_text("utf-8") == toml_text(config)


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("lr=2", 2.0),
        ("lr=.5", 0.5),
        ("lr = 1e-4", 1e-4),
        ("betas=0.8,0.9", (0.8, 0.9)),
        ("betas=[0.8, 0.9]", (0.8, 0.9)),
        ("names=a,b", ("a", "b")),
        ("names=[]", ()),
        ("kind=b", "b"),
        ("flag=False", False),
        ("flag=false", False),
        ("parts=4", 4),
        ("parts=none", None),
        ("word=none", None),
        ("word=1", "1"),
    ],
)
def test_override_reads_what_a_shell_gives(change, value):
    name = change.partition("=")[0].strip()
    config = override(Outer(), [f"train.{change}"])
    found = getattr(config.train, name)
    assert found == value
    assert type(found) is type(value)


def test_later_overrides_win_and_the_old_config_stays():
    old = Outer()
    assert override(old, ["train.lr=1", "train.lr=2"]).train.lr == 2
    assert old == Outer()
    assert override(Outer(), ["title=12"]).title == "12"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("lr=2", "'lr'; did you mean train.lr"),
        ("trainn.lr=2", "did you mean train.lr"),
        ("train.lrs=2", "did you mean train.lr"),
        ("qqqq=1", "known: title, train.lr"),
        ("train=1", "no setting is named 'train'"),
        ("train.lr", "is not NAME=VALUE"),
        ("=3", "is not NAME=VALUE"),
        ("train.lr=fast", "train.lr must be float, got 'fast'"),
        ("train.lr=nan", "train.lr must be float, got nan"),
        ("train.lr=-1", "train.lr must be positive, got -1"),
        ("train.steps=1.5", "train.steps must be int, got 1.5"),
        ("train.steps=true", "train.steps must be int, got True"),
        ("train.kind=c", "'a' or 'b', got 'c'"),
        ("train.parts=x", "train.parts must be int or none, got 'x'"),
        ("train.betas=1", "train.betas must be"),
        ("train.betas=1,2,3", "train.betas must be"),
        ("train.flag=1", "train.flag must be bool, got 1"),
    ],
)
def test_override_refuses_by_name_and_value(change, message):
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        override(Outer(), [change])


def test_from_dict_refuses_what_is_no_section_and_what_is_missing():
    with pytest.raises(ValueError, match="train is a section"):
        from_dict(Outer, {"train": 3})
    with pytest.raises(ValueError, match="size has no default"):
        from_dict(Needy, {})
    with pytest.raises(ValueError, match=r"'train\.size'"):
        from_dict(Outer, {"train": {"size": 1}})


def test_an_int_may_stand_for_a_float_but_nothing_else_bends():
    assert check_value(float, 3, "x") == 3.0
    for hint, value in ((int, 3.0), (str, 3), (bool, 0), (float, "3")):
        with pytest.raises(ValueError, match="x must be"):
            check_value(hint, value, "x")


def test_errors_name_the_file(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("title = ")
    with pytest.raises(ValueError, match=r"config\.toml is no TOML"):
        read_toml(Outer, path)
    path.write_text("[train]\nlr = 'x'\n")
    with pytest.raises(ValueError, match=r"config\.toml: train\.lr must be"):
        read_toml(Outer, path)
    with pytest.raises(FileNotFoundError):
        read_toml(Outer, tmp_path / "absent.toml")
