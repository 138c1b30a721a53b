"""The colors of code in print: few, dark, and legible in grayscale."""

from typing import ClassVar

from pygments.style import Style
from pygments.token import (
    Comment,
    Error,
    Generic,
    Keyword,
    Name,
    Number,
    Operator,
    String,
    Token,
    _TokenType,
)

INK, BLUE, GREEN, WARM, MUTED = (
    "#14233C",
    "#1F4E8C",
    "#1B6B52",
    "#A34A00",
    "#5B6B82",
)


class BookStyle(Style):
    """Keywords in blue, strings green, numbers warm, comments muted."""

    background_color = "#F4F6FA"
    styles: ClassVar[dict[_TokenType, str]] = {
        Token: INK,
        Comment: f"italic {MUTED}",
        Keyword: f"bold {BLUE}",
        Keyword.Constant: f"nobold {WARM}",
        Operator.Word: f"bold {BLUE}",
        Name.Decorator: WARM,
        Name.Function: f"bold {INK}",
        Name.Class: f"bold {INK}",
        Name.Builtin: BLUE,
        Name.Builtin.Pseudo: BLUE,
        Name.Exception: BLUE,
        String: GREEN,
        String.Doc: f"italic {GREEN}",
        String.Interpol: INK,
        String.Escape: WARM,
        Number: WARM,
        Generic.Error: "#B3261E",
        Generic.Traceback: "#B3261E",
        Generic.Prompt: MUTED,
        Error: "",
    }
