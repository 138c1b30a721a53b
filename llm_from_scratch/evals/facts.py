# Generated from chapters/appendix_run.md by `make export`. Do not edit.
"""Does the model know what it has read? Questions about the invented world."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from llm_from_scratch.corpus.grammar import read_lists
from llm_from_scratch.corpus.questions import Question, fill, is_right
from llm_from_scratch.evals.bits import span_bits
from llm_from_scratch.infer.generation import generate, pad_left

__all__ = [
    "FactScore",
    "Rate",
    "answers",
    "choices",
    "fact_accuracy",
    "page_prompt",
    "statement",
    "wilson_interval",
]


def wilson_interval(
    right: int, asked: int, level: float = 0.95
) -> tuple[float, float]:
    """Interval for the share behind `right` of `asked`, never outside [0, 1].

    The shares p whose distance from right/asked is at most z standard
    deviations of p itself. Source: wilson1927probable.
    """
    if not 0 <= right <= asked or asked < 1 or not 0 < level < 1:
        raise ValueError(
            "need 0 <= right <= asked, asked >= 1 and a level between 0 and "
            f"1, got {right}, {asked} and {level}"
        )
    z2 = NormalDist().inv_cdf((1 + level) / 2) ** 2
    share = right / asked
    center = share + z2 / (2 * asked)
    width = (z2 * (share * (1 - share) + z2 / (4 * asked)) / asked) ** 0.5
    scale = 1 + z2 / asked
    low, high = (center - width) / scale, (center + width) / scale
    return max(0.0, min(low, share)), min(1.0, max(high, share))


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How many were right of how many."""

    right: int
    asked: int

    @property
    def share(self) -> float:
        return self.right / self.asked

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's, at 95 percent."""
        return wilson_interval(self.right, self.asked)


@dataclass(frozen=True, kw_only=True)
class FactScore:
    """Answers by choice and in own words; `chance` is that of a guess."""

    choice: Rate
    answer: Rate
    chance: float
    replies: tuple[str, ...]


def page_prompt(question: Question) -> str:
    """The question as the pages of Smallweb print it."""
    return f"Question: {question.text}\n\nAnswer:"


def statement(question: Question, value: str) -> str:
    """A sentence that gives `value` for an answer, as the pages word it.

    What follows from two facts is stated on no page; there the bare value.
    """
    relation, *named = question.about
    shapes = read_lists("questions").get(f"answer {relation}")
    if question.derived or not shapes:
        return f" {value}."
    return " " + fill(shapes[0], *named).replace("{v}", value)


def choices(
    model: Any,
    tokenizer: Any,
    asked: Sequence[Question],
    *,
    end_token: str = "<|endoftext|>",
) -> list[str]:
    """For each question the option whose statement costs the fewest bits.

    Where the model's places do not suffice, prompts lose their beginning.
    """
    rows, starts = [], []
    limit = model.config.max_position_embeddings
    for question in asked:
        prompt = _prompt_ids(tokenizer, question, end_token)
        for option in question.options:
            ids = tokenizer.encode(statement(question, option))[:limit]
            rows.append((prompt + ids)[-limit - 1 :])
            starts.append(len(rows[-1]) - len(ids))
    costs, at, found = span_bits(model, rows, starts), 0, []
    for question in asked:
        some = costs[at : at + len(question.options)]
        found.append(question.options[int(np.argmin(some))])
        at += len(some)
    return found


def answers(
    model: Any,
    tokenizer: Any,
    asked: Sequence[Question],
    *,
    max_new_tokens: int = 24,
    batch_size: int = 64,
    end_token: str = "<|endoftext|>",
) -> list[str]:
    """For each question the line that the model likes best, word by word."""
    limit = model.config.max_position_embeddings
    new = max(1, min(max_new_tokens, limit // 2))
    prompts = [
        _prompt_ids(tokenizer, q, end_token)[new - limit :] for q in asked
    ]
    first = tokenizer.special_tokens[end_token]
    ends = [i for i, t in tokenizer.vocab.items() if t[:1] == b"\n"] + [first]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    replies = [""] * len(prompts)
    device = model.lm_head.weight.device
    for start in range(0, len(order), batch_size):
        some = order[start : start + batch_size]
        ids, real = pad_left([prompts[i] for i in some], first)
        how: dict[str, Any] = {"eos_token_id": ends}
        how["attention_mask"] = real.to(device)
        out = generate(model, ids.to(device), new, pad_token_id=first, **how)
        for i, row in zip(some, out[:, ids.shape[1] :].tolist(), strict=True):
            kept = row[: row.index(first)] if first in row else row
            replies[i] = tokenizer.decode(kept).strip()
    return replies


def _prompt_ids(
    tokenizer: Any, question: Question, end_token: str
) -> list[int]:
    start = tokenizer.special_tokens[end_token]
    return [start, *tokenizer.encode(page_prompt(question))]


def fact_accuracy(
    model: Any,
    tokenizer: Any,
    asked: Iterable[Question],
    *,
    end_token: str = "<|endoftext|>",
) -> FactScore:
    """How many questions the model answers right, by choice and by itself.

    ValueError if nothing is asked.
    """
    some = list(asked)
    if not some:
        raise ValueError("no question was asked; give at least one")
    chosen = choices(model, tokenizer, some, end_token=end_token)
    replies = answers(model, tokenizer, some, end_token=end_token)
    picked = sum(c == q.answer for c, q in zip(chosen, some, strict=True))
    said = sum(is_right(q, r) for q, r in zip(some, replies, strict=True))
    chance = float(np.mean([1 / len(q.options) for q in some]))
    return FactScore(
        choice=Rate(right=picked, asked=len(some)),
        answer=Rate(right=said, asked=len(some)),
        chance=chance,
        replies=tuple(replies),
    )
