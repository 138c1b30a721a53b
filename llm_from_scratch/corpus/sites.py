# Generated from chapters/appendix_web.md by `make export`. Do not edit.
"""The sites of the small web: hosts, names, habits and addresses."""

from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random

from llm_from_scratch.corpus.phrases import dice, fill_shape, web_bank
from llm_from_scratch.corpus.records import slug

__all__ = [
    "PATHS",
    "SUITABLE",
    "TEMPLATES",
    "Site",
    "choose_site",
    "junk_site",
    "make_site",
    "page_url",
]


TEMPLATES = ("blog", "news", "wiki", "forum", "recipe", "shop", "docs", "old")


@dataclass(frozen=True)
class Site:
    """One host: its template, its names and its habits of typing."""

    number: int
    template: str
    host: str
    name: str
    curly: bool  # typographic quotation marks and dashes
    entities: bool  # writes &rsquo; for a character beyond ASCII
    footer: str
    banner: str
    tagline: str


@lru_cache(maxsize=1024)
def make_site(seed: int, number: int) -> Site:
    """Site `number` of a web; the template follows from the number."""
    rng, bank = dice("site", seed, number), web_bank("furniture")
    first, second = (rng.choice(bank["site"][k]) for k in ("first", "second"))
    name = f"{first} {second}"
    tld = rng.choice(bank["site"]["tld"])
    footer = rng.choice(bank["banner"]["footer"])
    return Site(
        number=number,
        template=TEMPLATES[number % len(TEMPLATES)],
        host=f"{first}-{second}{number}.{tld}".lower(),
        name=name,
        curly=rng.random() < 0.6,
        entities=rng.random() < 0.3,
        footer=fill_shape(rng, footer, {"site": name}),
        banner=rng.choice(bank["banner"]["cookie"]),
        tagline=rng.choice(bank["site"]["tagline"]),
    )


SUITABLE = {
    "story": ("blog", "news", "old", "forum", "wiki"),
    "entry": ("wiki", "docs", "old", "news"),
    "dialogue": ("blog", "forum", "old", "docs"),
    "qa": ("forum", "docs", "wiki", "blog"),
    "howto": ("recipe", "docs", "blog", "shop"),
    "thread": ("forum",),
}
PATHS = {
    "blog": "/400/05/{slug}-{n}.html",
    "news": "/local/{slug}-{n}",
    "wiki": "/wiki/{slug}_{n}",
    "forum": "/viewtopic.php?f=2&t={n}",
    "recipe": "/recipes/{slug}-{n}/",
    "shop": "/product/{n}?ref={slug}",
    "docs": "/en/latest/{slug}-{n}.html",
    "old": "/~user/{slug}{n}.htm",
}


def choose_site(seed: int, index: int, sort: str, rng: Random) -> Site:
    """A site that suits the text; few sites have most of the pages.

    The rank of the site is log-uniform from 1 to (number of the page)^0.7.
    """
    template = rng.choice(SUITABLE.get(sort, TEMPLATES))
    rank = int((index + 2) ** (0.7 * rng.random())) - 1
    number = len(TEMPLATES) * rank + TEMPLATES.index(template)
    return make_site(seed, number)


def junk_site(site: Site, kind: str, rng: Random) -> Site:
    """The same template under a host that sells something."""
    bank = web_bank("junk")
    if kind == "adult":
        host = rng.choice(bank["adult"]["hosts"])
        name = host.replace("{x}", rng.choice(bank["adult"]["nouns"]))
    else:
        spam = bank["spam"]
        name = rng.choice(spam["brand_a"]) + rng.choice(spam["brand_b"])
    host = f"{name.lower()}{rng.randrange(1000)}.example"
    return replace(site, host=host, name=name)


def page_url(site: Site, title: str, index: int) -> str:
    """The address of a page; no two pages have the same."""
    words = slug(title) if title.isascii() else "page"
    path = PATHS[site.template].format(slug=words, n=1000 + index)
    scheme = "http" if site.template == "old" else "https"
    return f"{scheme}://{site.host}{path}"
