"""Multiple-choice questions of this project: which of four words belongs to a group."""

from __future__ import annotations

import random

from capsafe_core.benchmarks.reasoning import Pair

LETTERS = "ABCD"
GROUPS = {
    "an animal": "dog horse cat sheep rabbit tiger frog eagle whale mouse goat snake",
    "a fruit": "apple pear plum cherry banana peach grape melon lemon mango orange fig",
    "a colour": "red blue green yellow purple brown grey black white pink violet silver",
    "a tool": "hammer saw drill wrench pliers chisel axe shovel rake screwdriver file spade",
    "a piece of clothing": "shirt coat sock glove hat scarf skirt jacket belt jumper boot dress",
    "a musical instrument": "piano violin flute drum guitar trumpet harp cello oboe organ tuba banjo",
    "a vehicle": "car bus train bicycle lorry tram ferry boat plane taxi van tractor",
    "a piece of furniture": "chair table sofa bed shelf desk wardrobe bench stool cupboard bookcase dresser",
}
"""groups whose words are in no other one"""


def choice_pairs(seed: int, size: int) -> list[Pair]:
    """Questions with four words, of which one belongs to the group asked for and three to others.

    Args:
        seed: the same seed gives the same questions.
        size: how many, all different.
    """
    rng = random.Random(seed)
    pairs: dict[str, Pair] = {}
    while len(pairs) < size:
        group, *others = rng.sample(sorted(GROUPS), len(LETTERS))
        words = [rng.choice(GROUPS[name].split()) for name in (group, *others)]
        right = words[0]
        rng.shuffle(words)
        listed = "\n".join(f"{letter}. {word}" for letter, word in zip(LETTERS, words, strict=True))
        question = f"Which of these is {group}?\n{listed}\nAnswer with the letter alone."
        letter = LETTERS[words.index(right)]
        pairs[question] = Pair(question, letter, letter)
    return list(pairs.values())
