"""Word forms by hand; templates and references by property."""

from random import Random

import pytest

from llm_from_scratch.corpus import grammar
from llm_from_scratch.corpus.teller import (
    Teller,
    Thing,
    compile_template,
    tidy,
)

MINA = Thing("Mina", "f")
OLA = Thing("Ola", "f")
BO = Thing("Bo", "m")
KITE = Thing("kite", "n", False, "old red")
MITTENS = Thing("mittens", "p", False, "warm")


def teller(seed=0, lists=None, **roles):
    return Teller(Random(seed), lists or {}, roles)


@pytest.mark.parametrize(
    ("noun", "many"),
    [
        ("loaf", "loaves"),
        ("berry", "berries"),
        ("day", "days"),
        ("box", "boxes"),
        ("goose", "geese"),
        ("toy boat", "toy boats"),
        ("church", "churches"),
    ],
)
def test_plurals(noun, many):
    assert grammar.plural(noun) == many


@pytest.mark.parametrize(
    ("lemma", "s", "past", "ing"),
    [
        ("go", "goes", "went", "going"),
        ("carry", "carries", "carried", "carrying"),
        ("stop", "stops", "stopped", "stopping"),
        ("bake", "bakes", "baked", "baking"),
        ("be", "is", "was", "being"),
        ("play", "plays", "played", "playing"),
        ("see", "sees", "saw", "seeing"),
    ],
)
def test_verbs(lemma, s, past, ing):
    forms = [grammar.verb(lemma, f) for f in ("s", "past", "ing")]
    assert forms == [s, past, ing]


@pytest.mark.parametrize(
    ("phrase", "kind"),
    [("old kite", "an"), ("kite", "a"), ("hour", "an"), ("unicorn", "a"),
     ("one-way road", "a"), ("8 mile road", "an"), ("Apple", "an")],
)  # fmt: skip
def test_articles(phrase, kind):
    assert grammar.article(phrase) == kind


def test_numbers_and_listings():
    assert grammar.number_word(0) == "zero"
    assert grammar.number_word(21) == "twenty-one"
    assert grammar.number_word(90) == "ninety"
    assert grammar.number_word(100) == "100"
    assert grammar.listing(["a", "b", "c"]) == "a, b, and c"
    assert grammar.listing(["a", "b"], "or") == "a or b"


def test_possessive_of_names_in_s():
    assert grammar.possessive("Mina") == "Mina's"
    assert grammar.possessive("bakers") == "bakers'"


def test_first_mention_is_a_name_and_the_next_may_be_a_pronoun():
    text = teller(h=MINA).tell("{h} ran. Then {h.he} hid.")
    assert text == "Mina ran. Then she hid."


def test_no_pronoun_where_two_could_be_meant():
    text = teller(h=MINA, f=OLA).tell("{h} met {f.obj}. Then {h.he} hid.")
    assert text == "Mina met Ola. Then Mina hid."


def test_no_pronoun_beside_a_rival_in_the_same_sentence():
    text = teller(h=MINA, f=OLA).tell("{h} met {f.obj}, and {h.he} hid.")
    assert text == "Mina met Ola, and Mina hid."


def test_other_genders_do_not_block_a_pronoun():
    text = teller(h=MINA, f=BO).tell("{h} met {f.obj}. Then {h.he} hid.")
    assert text == "Mina met Bo. Then she hid."


def test_nameless_people_block_a_pronoun():
    text = teller(h=MINA).tell("{h} met an old woman. Then {h.he} hid.")
    assert text == "Mina met an old woman. Then Mina hid."


def test_pronouns_do_not_cross_a_sentence_or_a_paragraph():
    t = teller(h=MINA)
    assert t.tell("{h} ran. It rained. Then {h.he} hid.").endswith("Mina hid.")
    t.paragraph()
    assert t.tell("Then {h.he} hid.") == "Then Mina hid."


def test_possessives_stay_with_their_subject():
    text = teller(h=MINA, f=OLA).tell("{f} saw that {h} shook {h.his} head.")
    assert text == "Ola saw that Mina shook her head."


def test_things_are_introduced_once():
    text = teller(o=KITE).tell("There was {o.a}. {o.full} was torn.")
    assert text == "There was an old red kite. The old red kite was torn."


def test_number_agreement():
    text = teller(o=MITTENS).tell("{o.full} {o.was} there. Here {o.is} {o.a}.")
    assert text == "The warm mittens were there. Here are warm mittens."


def test_sentences_begin_with_capitals_also_in_quotes():
    t = teller(h=MINA, lists={"time": ("one day",)})
    assert t.tell("{@time}, {h} came.") == "One day, Mina came."
    assert t.tell('"[come|come]!" she said.') == '"Come!" she said.'


def test_choices_and_options_leave_no_gap():
    for seed in range(20):
        text = teller(seed).tell("a [big|old|] tree[, or so|].")
        assert "  " not in text
        assert " ," not in text
        assert text.startswith(("A big", "An old", "A tree"))


def test_verb_phrases_are_inflected():
    assert teller(g="carry the sack").tell("{g.ing} is hard.") == (
        "Carrying the sack is hard."
    )


def test_tidy_sets_articles():
    assert tidy("a apple and a pear , a hour") == "an apple and a pear, an hour"


@pytest.mark.parametrize("template", ["[a|b", "a]", "[a|[b]"])
def test_unbalanced_brackets_are_named(template):
    with pytest.raises(ValueError, match="brackets do not match"):
        compile_template(template)


def test_unknown_list_and_form_are_named():
    with pytest.raises(ValueError, match="no list named 'nothing'"):
        grammar.words("nothing")
    with pytest.raises(ValueError, match="got 'future'"):
        grammar.verb("walk", "future")


def test_a_teller_prefers_lines_that_it_has_not_used():
    t = teller(3)
    assert len({t.pick("abcd") for _ in range(4)}) >= 3
