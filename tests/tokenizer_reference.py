"""The slow tokenizers that the fast one must equal, and a small vocabulary."""

from collections import Counter
from itertools import pairwise

import regex


def pieces(text, pattern, special=()):
    """Split at special tokens, then by the pattern; text pieces only."""
    parts = [text]
    for name in sorted(special, key=len, reverse=True):
        parts = [p for part in parts for p in part.split(name)]
    return [p for part in parts for p in regex.findall(pattern, part)]


def merge_word(word, pair):
    """Join each place of a pair in a tuple of tokens, from the left."""
    out, i = [], 0
    while i < len(word):
        if word[i : i + 2] == pair:
            out.append(pair[0] + pair[1])
            i += 2
        else:
            out.append(word[i])
            i += 1
    return tuple(out)


def pair_counts(words):
    """Count all pairs from nothing."""
    counts = Counter()
    for word, count in words.items():
        for pair in pairwise(word):
            counts[pair] += count
    return counts


def train_slowly(text, num_merges, pattern, special=()):
    """Recount everything for each merge."""
    words = Counter(
        tuple(bytes([b]) for b in piece.encode())
        for piece in pieces(text, pattern, special)
    )
    merges = []
    while len(merges) < num_merges and (counts := pair_counts(words)):
        best = max(counts, key=lambda pair: (counts[pair], pair))
        merges.append(best)
        merged = Counter()
        for word, count in words.items():
            merged[merge_word(word, best)] += count
        words = merged
    return merges


def encode_slowly(text, merges, pattern):
    """Apply the merges one after another to each piece, as bytes."""
    out = []
    for piece in regex.findall(pattern, text):
        word = tuple(bytes([b]) for b in piece.encode())
        for pair in merges:
            word = merge_word(word, pair)
        out += word
    return out


SAMPLE = (
    "The cat sat on the mat. The cats' mats aren't THAT flat; they're 1,234 "
    "flat mats!\n\n\tdef mat(cat):\n        return cat + 'mat'  \n"
    "Où est le chat? Der Käse ist groß. 猫はマットの上に座った。 "
    "кот сидел на коврике 🐈‍⬛ 👍🏽 aaaaaaaaaa ====== \r\n\r\n the end "
) * 3
