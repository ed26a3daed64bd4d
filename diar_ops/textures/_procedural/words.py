"""Text that looks like language."""

from __future__ import annotations

import functools

import numpy as np

from diar_ops.textures._procedural.rng import Rng

#: Frequent first, as in running text.
_COMMON = """
the of and a in to is that it was for as with on be by he at his this are had from or which an
but not have they we all their one were been has more when who will would no if out so said what
up its about than into them can only other new some could time these two may then do first any my
now such like our over man me even most made after also did many before must through years where
much your way well down should because each just those people how too little state good very make
world still own see men work long get here between both life being under never day same another
know while last might us great old year off come since against go came right used take three
states himself few house use during without again place around however home small found thought
went say part once general high upon school every don't does got united left number course war
until always away something fact though water less public put thing almost hand enough far took
head yet government system better set told nothing night end why called didn't eyes find going
look asked later knew point next program city business give group toward young days let room word
within order picture Straße über für schön größer Mädchen déjà côté être garçon señor mañana
façade naïve
"""
_ONSETS = """
b br c ch cl cr d dr f fl fr g gl gr h j k l m n p pl pr qu r s sc sh sl sp st str t th tr v w z
"""
_VOWELS = """
a e i o u a e i o ai ea ee io ou oo au
"""
_CODAS = """
- - - - l m n n r r s t ck ld nd ng nt rd rm rt ss st th x
"""


@functools.cache
def vocabulary() -> tuple[str, ...]:
    """Return 400 words, frequent ones first; the rarest do not exist."""
    rng = Rng(20240917)
    common, onsets, vowels, codas = (parts.split() for parts in (_COMMON, _ONSETS, _VOWELS, _CODAS))
    made = dict.fromkeys(common)
    while len(made) < 400:
        syllables = rng.pick((1, 1, 2, 2, 3))
        parts = [rng.pick(onsets) + rng.pick(vowels) for _ in range(syllables)]
        made["".join(parts) + rng.pick(codas).strip("-")] = None
    return tuple(made)


def words(rng: Rng, count: int) -> list[str]:
    """Return running words: frequent ones more often, with capitals and punctuation."""
    known = vocabulary()
    ranks = (rng.array(count) ** 2.2 * len(known)).astype(int)
    marks = rng.array(count)
    text: list[str] = []
    capital = True
    for rank, mark in zip(ranks.tolist(), marks.tolist(), strict=True):
        word = known[rank]
        if capital or mark > 0.965:
            word = word[:1].upper() + word[1:]
        elif mark > 0.955:
            word = str(1900 + int(mark * 1e7) % 130)
        capital = mark < 0.09
        if capital:
            word += "."
        elif mark < 0.17:
            word += ","
        text.append(word)
    return text


def sentence(rng: Rng, low: int, high: int) -> str:
    """Return ``low`` to ``high`` words without punctuation, the first with a capital."""
    count = rng.integer(low, high)
    known = vocabulary()
    ranks = np.minimum(rng.array(count) ** 1.3 * len(known), len(known) - 1).astype(int)
    text = " ".join(known[rank] for rank in ranks.tolist())
    return text[:1].upper() + text[1:]
