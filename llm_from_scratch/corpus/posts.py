# Generated from chapters/appendix_web.md by `make export`. Do not edit.
"""Forum threads: rude, civil, and civil ones that quote the rude."""

from dataclasses import dataclass
from random import Random

from llm_from_scratch.corpus.phrases import fill_shape, web_bank

__all__ = [
    "MASK",
    "SHARES",
    "Post",
    "make_post",
    "make_thread",
    "mask_word",
]


@dataclass(frozen=True)
class Post:
    """One post: its text, whether it is toxic, and against whom.

    `group` is the people that it names, "" if none; `quoted` says that it
    repeats an insult in order to reject it; `shape` names its sentence.
    """

    text: str
    toxic: bool
    group: str
    quoted: bool
    shape: str
    masked: bool = False


SHARES = {
    "toxic_group": 0.14,
    "toxic_person": 0.14,
    "quoted": 0.10,
    "civil_group": 0.24,
    "civil": 0.38,
}
MASK = str.maketrans("aeio", "@310")


def mask_word(rng: Random, word: str) -> str:
    """An insult written so that a word list misses it."""
    style = rng.randrange(3)
    if style == 0:
        i = rng.randrange(1, len(word) - 1)
        return f"{word[:i]}*{word[i + 1 :]}"
    return word.translate(MASK) if style == 1 else " ".join(word)


def make_post(rng: Random, civil: bool = False) -> Post:
    """Draw a post; with `civil` one that insults nobody."""
    bank = web_bank("posts")
    sorts = [s for s in SHARES if not (civil and s.startswith("toxic"))]
    (sort,) = rng.choices(sorts, [SHARES[s] for s in sorts])
    number = rng.randrange(len(bank[sort]))
    shape, group = bank[sort][number], rng.choice(bank["groups"])
    bad, toxic = rng.choice(bank["bad"]), sort.startswith("toxic")
    masked = toxic and "{bad}" in shape and rng.random() < 0.25
    slots = {
        "g": group,
        "bad": mask_word(rng, bad) if masked else bad,
        "thing": bank["things"],
    }
    text = fill_shape(rng, shape, slots)
    if toxic and rng.random() < 0.15:
        text = text.upper()
    if rng.random() < 0.5:
        text = f"{rng.choice(bank['opening'])} {text}"
    if rng.random() < 0.4:
        text = f"{text} {rng.choice(bank['closing'])}"
    return Post(
        text=text,
        toxic=toxic,
        group=group if "{g}" in shape else "",
        quoted=sort == "quoted",
        shape=f"{sort}/{number}",
        masked=masked,
    )


def make_thread(rng: Random) -> tuple[str, list[Post]]:
    """A title and three to nine posts; half of all threads stay civil."""
    bank = web_bank("posts")
    thing = rng.choice(bank["things"])
    title = fill_shape(rng, rng.choice(bank["topics"]), {"thing": thing})
    civil, count = rng.random() < 0.5, rng.randrange(3, 10)
    return title, [make_post(rng, civil) for _ in range(count)]
