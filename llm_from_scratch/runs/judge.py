# Generated from chapters/appendix_run.md by `make export`. Do not edit.
"""What a run asks of its model: bits per byte, facts, and samples."""

from collections.abc import Sequence
from typing import Any

import torch

from llm_from_scratch.corpus.paths import read_jsonl
from llm_from_scratch.corpus.questions import Question
from llm_from_scratch.evals.bits import bits_per_byte
from llm_from_scratch.evals.facts import Rate, fact_accuracy
from llm_from_scratch.infer.streaming import stream_text
from llm_from_scratch.runs.stages import Run
from llm_from_scratch.tokenizer.bpe import Tokenizer
from llm_from_scratch.train.precision import autocast

__all__ = [
    "Judge",
    "spread",
    "verdict",
]


def spread(items: Sequence[Any], count: int) -> list[Any]:
    """`count` of the items, evenly spaced; all of them for 0 or too many."""
    if count < 1 or count >= len(items):
        return list(items)
    return [items[i * len(items) // count] for i in range(count)]


class Judge:
    """The held-out texts and the questions of a run, read once.

    `quick` takes the smaller numbers, for a look during training.
    """

    def __init__(
        self, run: Run, tokenizer: Tokenizer, *, quick: bool = False
    ) -> None:
        how = self.config = run.config.evaluation
        self.context, self.tokenizer = run.config.train.context, tokenizer
        self.precision = run.config.train.precision if quick else "fp32"
        texts = how.quick_texts if quick else how.texts
        count = how.quick_questions if quick else how.questions
        self.texts = {
            source: spread(_read(run, source), texts)
            for source in run.config.corpus.chosen
        }
        self.questions: dict[str, list[Question]] = {}
        for split in ("heldout", "train"):
            found = run.questions(split)
            stated = [q for q in found if not q.derived]
            derived = [q for q in found if q.derived]
            name = {"heldout": "heldout", "train": "seen"}[split]
            self.questions[name] = spread(stated, count)
            if not quick and split == "heldout":
                self.questions["derived"] = spread(derived, count)

    def measure(self, model: Any) -> dict[str, float]:
        """Bits per byte over all sources, and the share of facts known."""
        with autocast(next(model.parameters()).device, self.precision):
            return self._measure(model)

    def _measure(self, model: Any) -> dict[str, float]:
        found = {}
        texts = [text for some in self.texts.values() for text in some]
        if texts:
            score = bits_per_byte(
                model, self.tokenizer, texts, context=self.context
            )
            found["bits_per_byte"] = score.per_byte
        for name, asked in self.questions.items():
            if asked:
                facts = fact_accuracy(model, self.tokenizer, asked)
                found[f"facts_{name}"] = facts.answer.share
                found[f"choice_{name}"] = facts.choice.share
        return found

    def samples(self, model: Any) -> list[str]:
        """What the model writes after each prompt, the prompt included."""
        how, found = self.config, []
        device = next(model.parameters()).device
        for number, prompt in enumerate(how.prompts):
            generator = torch.Generator(device).manual_seed(number)
            pieces = stream_text(
                model,
                self.tokenizer,
                prompt,
                how.sample_tokens,
                temperature=how.temperature,
                top_p=how.top_p,
                generator=generator,
            )
            found.append(prompt + "".join(pieces))
        return found


def _read(run: Run, source: str) -> list[str]:
    """The held-out texts of a source."""
    return [one.text for one in read_jsonl(run.texts(source, "heldout"))]


def verdict(judge: Judge, model: Any) -> dict[str, Any]:
    """Everything that is asked of a finished model, as JSON has it."""
    found: dict[str, Any] = {"bits_per_byte": {}, "facts": {}, "samples": []}
    every = [text for some in judge.texts.values() for text in some]
    for name, texts in {**judge.texts, "all": every}.items():
        if not texts:
            continue
        score = bits_per_byte(
            model, judge.tokenizer, texts, context=judge.context
        )
        low, high = score.interval() if len(texts) > 1 else (None, None)
        found["bits_per_byte"][name] = {
            "value": score.per_byte,
            "low": low,
            "high": high,
            "texts": len(texts),
            "bytes": int(score.bytes.sum()),
            "tokens": score.tokens,
        }
    for name, asked in judge.questions.items():
        if asked:
            found["facts"][name] = _facts(judge, model, asked)
    found["samples"] = [
        {"prompt": prompt, "text": text[len(prompt) :]}
        for prompt, text in zip(
            judge.config.prompts, judge.samples(model), strict=True
        )
    ]
    return found


def _facts(judge: Judge, model: Any, asked: list[Question]) -> dict[str, Any]:
    """How many of some questions are answered right, with five of them."""
    facts = fact_accuracy(model, judge.tokenizer, asked)
    some = list(zip(asked, facts.replies, strict=True))[:5]
    return {
        "answer": _plain(facts.answer),
        "choice": _plain(facts.choice),
        "chance": facts.chance,
        "examples": [
            {"question": q.text, "answer": q.answer, "reply": reply}
            for q, reply in some
        ],
    }


def _plain(rate: Rate) -> dict[str, Any]:
    low, high = rate.interval
    return {
        "right": rate.right,
        "asked": rate.asked,
        "share": rate.share,
        "low": low,
        "high": high,
    }
