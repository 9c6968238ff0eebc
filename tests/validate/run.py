"""`make validate`: do 95 % intervals cover the truth in 93 to 97 % of simulated studies?

Each line is one kind of study, simulated 2,000 times with the functions that the screens use.
Lines marked "claimed" lie in the region that the method is meant for, and the command fails where one of them
does not hold; the others are reported. Results go to build/validate.json.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from capsafe_core.settings import ROOT
from capsafe_core.stats.bootstrap import cluster_weights, percentile_intervals, resampled_rates, seed_average
from capsafe_core.stats.correction import (
    Labelled,
    ppi_plus_plus,
    rogan_gladen,
    weighted_ppi,
    weighted_rogan_gladen,
)
from capsafe_core.stats.design import (
    Design,
    Stratum,
    alike,
    completed,
    inclusion,
    priority_design,
    random_rank,
    stratified_design,
)
from capsafe_core.stats.intervals import newcombe, wilson
from capsafe_core.stats.matching import at_place, crossing

Floats = npt.NDArray[np.float64]
Interval = tuple[float, float] | None
LOW, HIGH = 0.93, 0.97
STUDIES = 2000


@dataclass(frozen=True)
class Coverage:
    """How often an interval held the truth, and how far the estimate was off on average."""

    name: str
    claimed: bool
    studies: int
    covered: float
    bias: float

    @property
    def holds(self) -> bool:
        return not self.claimed or LOW <= self.covered <= HIGH


def coverage(
    name: str,
    study: Callable[[np.random.Generator], tuple[float, Interval, float]],
    claimed: bool = True,
    studies: int = STUDIES,
    seed: int = 0,
) -> Coverage:
    """Simulate one kind of study.

    Args:
        study: from a generator to an estimate, its interval (None where none is given; such studies are left
            out) and the truth.
    """
    chance = np.random.default_rng(seed)
    inside, off = [], []
    while len(inside) < studies:
        estimate, interval, truth = study(chance)
        if interval is not None:
            inside.append(interval[0] <= truth <= interval[1])
            off.append(estimate - truth)
    return Coverage(name, claimed, studies, float(np.mean(inside)), float(np.mean(off)))


def answers(
    chance: np.random.Generator, rates: Floats, items: int, per_item: int = 1, shared: float = 0.6
) -> Floats:
    """(checkpoints, items, per_item) of 0 and 1 with planted rates; an item's answers go together across
    checkpoints and within it."""
    hard = chance.normal(size=(1, items, 1))
    own = chance.normal(size=(len(rates), items, per_item))
    return (np.sqrt(shared) * hard + np.sqrt(1 - shared) * own < norm.ppf(rates)[:, None, None]).astype(float)


CAPABILITY = {"a": np.array([0.1, 0.25, 0.45, 0.7, 0.8]), "b": np.array([0.1, 0.3, 0.35, 0.55, 0.75])}
UNSAFE = {"a": np.array([0.08, 0.15, 0.3, 0.45, 0.5]), "b": np.array([0.08, 0.12, 0.2, 0.22, 0.4])}
GOAL = 0.5


def matched_difference(
    rule: str = "first", against: str = "b", seeds: int = 1, resamples: int = 1000
) -> Callable[[np.random.Generator], tuple[float, Interval, float]]:
    """Delta at the goal of arm a against arm b, or against its own start: planted curves, 200 capability
    items, 100 behaviours with two prompts each."""

    def place_and_rate(a: Floats, s: Floats) -> Floats:
        return at_place(s, crossing(a, GOAL, rule, s))

    truth_of = {arm: float(place_and_rate(CAPABILITY[arm], UNSAFE[arm])) for arm in "ab"}
    truth = truth_of["a"] - (truth_of["b"] if against == "b" else float(UNSAFE["a"][0]))

    def study(chance: np.random.Generator) -> tuple[float, Interval, float]:
        arms = ["a"] * seeds + (["b"] if against == "b" else [])
        right = answers(chance, np.concatenate([CAPABILITY[arm] for arm in arms]), 200).sum(axis=2)
        harmful = answers(chance, np.concatenate([UNSAFE[arm] for arm in arms]), 100, per_item=2).sum(axis=2)
        task = resampled_rates(cluster_weights(200, resamples, 2), right, np.ones_like(right))
        unsafe = resampled_rates(cluster_weights(100, resamples, 1), harmful, np.full_like(harmful, 2.0))
        steps = len(CAPABILITY["a"])

        def arm(a: Floats, s: Floats) -> tuple[Floats, Floats]:
            """The rates at the goal of each run, and at the first run's start."""
            return np.stack(
                [
                    place_and_rate(a[..., i : i + steps], s[..., i : i + steps])
                    for i in range(0, steps * len(arms), steps)
                ],
                axis=-1,
            ), s[..., 0]

        (found, start), (draws, starts) = arm(right.mean(axis=1), harmful.mean(axis=1) / 2), arm(task, unsafe)
        other, others = (found[seeds], draws[:, seeds]) if against == "b" else (start, starts)
        delta = seed_average(draws[:, :seeds]) - others
        [interval] = percentile_intervals(delta[:, None])
        unreached = np.isnan(delta).mean()
        estimate = float(found[:seeds].mean() - other)
        return estimate, interval if unreached <= 0.05 and not np.isnan(estimate) else None, truth

    return study


def two_level(seeds: int, spread: float) -> Callable[[np.random.Generator], tuple[float, Interval, float]]:
    """The mean rate of a recipe whose training seeds differ, seeds resampled as well as behaviours."""

    def study(chance: np.random.Generator) -> tuple[float, Interval, float]:
        rates = np.clip(chance.normal(0.3, spread, seeds), 0.02, 0.98)
        events = answers(chance, rates, 100, per_item=2).sum(axis=2)
        draws = resampled_rates(cluster_weights(100, 1000, 1), events, np.full_like(events, 2.0))
        [interval] = percentile_intervals(seed_average(draws, cluster_weights(seeds, 1000, 3))[:, None])
        return float(events.mean() / 2), interval, 0.3

    return study


def labelled(
    chance: np.random.Generator,
    rate: float,
    q1: float,
    q0: float,
    behaviours: int,
    chances: tuple[float, float],
) -> Labelled:
    """Two outputs a behaviour; labels drawn with one probability where the judge says unsafe and another
    where it does not."""
    spread = 6.0
    risk = chance.beta(rate * spread, (1 - rate) * spread, behaviours).repeat(2)
    truth = (chance.random(2 * behaviours) < risk).astype(float)
    judged = (chance.random(2 * behaviours) < np.where(truth == 1, q1, 1 - q0)).astype(float)
    wanted = np.where(judged == 1, chances[0], chances[1])
    return Labelled(
        judged,
        truth,
        np.where(chance.random(2 * behaviours) < wanted, wanted, 0.0),
        np.arange(behaviours).repeat(2),
    )


def corrected(
    method: str,
    rate: float,
    q1: float = 0.85,
    q0: float = 0.8,
    behaviours: int = 500,
    chances: tuple[float, float] = (0.5, 0.25),
) -> Callable[[np.random.Generator], tuple[float, Interval, float]]:
    """A corrected rate from labels with unequal inclusion probabilities."""
    function = {"ppi": weighted_ppi, "rogan-gladen": weighted_rogan_gladen}[method]

    def study(chance: np.random.Generator) -> tuple[float, Interval, float]:
        found = function(labelled(chance, rate, q1, q0, behaviours, chances))
        return (
            found.rate or 0.0,
            None if found.low is None or found.high is None else (found.low, found.high),
            rate,
        )

    return study


def from_queue(
    strategy: str,
    answered: float = 1.0,
    method: str = "ppi",
    size: int = 400,
    share: float = 0.3,
    extended: int = 0,
) -> Callable[[np.random.Generator], tuple[float, Interval, float]]:
    """A corrected rate from a queue as the Annotate page draws it: 500 behaviours × 4 checkpoints, two judges
    that are worse on broken text.

    Args:
        answered: the share of the queue after which people stop.
        extended: items that were added later.
    """
    rate, behaviours, checkpoints = 0.3, 500, 4
    clusters = np.arange(behaviours).repeat(checkpoints)
    checkpoint = np.tile(np.arange(checkpoints), behaviours)

    def study(chance: np.random.Generator) -> tuple[float, Interval, float]:
        risk = chance.beta(6 * rate, 6 * (1 - rate), behaviours).repeat(checkpoints)
        truth = (chance.random(len(risk)) < risk).astype(float)
        broken = chance.random(len(risk)) < np.array([0.05, 0.1, 0.3, 0.5])[checkpoint]
        one, two = (
            (chance.random(len(risk)) < np.where(truth == 1, q1, np.where(broken, 0.45, 1 - q0))).astype(
                float
            )
            for q1, q0 in ((0.85, 0.85), (0.75, 0.9))
        )
        rank = random_rank([str(i) for i in range(len(risk))], str(chance.integers(2**31)))
        done, drawn = [], np.zeros(len(risk), dtype=bool)
        if strategy == "two queues":  # a random one over everything, and a stratified one of its own seed
            other = random_rank([str(i) for i in range(len(risk))], str(chance.integers(2**31)))
            kinds = np.array(
                [f"{a:.0f}{b:.0f}{c:d}" for a, b, c in zip(one, two, broken, strict=True)], dtype=object
            )
            first, second = (
                stratified_design(np.full(len(risk), "all", dtype=object), rank, size // 2),
                stratified_design(kinds, other, size // 2),
            )
            strata = [Stratum("first", 0, s.size, s.drawn) for s in first.strata] + [
                Stratum(s.name, 1, s.size, s.drawn) for s in second.strata
            ]
            design = Design(
                tuple(strata),
                np.concatenate([first.codes, second.codes + len(first.strata)]),
                np.concatenate([first.rank, second.rank]),
            )
        elif strategy in ("random", "stratified"):
            names = np.array(
                [f"{a:.0f}{b:.0f}{c:d}{k}" for a, b, c, k in zip(one, two, broken, checkpoint, strict=True)]
                if strategy == "stratified"
                else ["all"] * len(risk),
                dtype=object,
            )
            design = stratified_design(names, rank, size + extended)
        else:
            design = priority_design(
                np.where(one != two, chance.random(len(risk)), np.nan), rank, size, share, "most disputed"
            )
        for number, stratum in enumerate(design.strata):
            items = design.drawn(number)
            first = completed([i < round(answered * len(items)) for i in range(len(items))], stratum.adaptive)
            drawn[items[:first]] = True
            done.append(first / stratum.size)
        probability = np.where(drawn, inclusion(design.codes, done), 0.0)
        data = Labelled(one, truth, probability, clusters, alike(design.codes, done))
        found = weighted_ppi(data) if method == "ppi" else weighted_rogan_gladen(data)
        return (
            found.rate or 0.0,
            None if found.low is None or found.high is None else (found.low, found.high),
            rate,
        )

    return study


def from_two_samples(
    method: str, rate: float, q1: float = 0.8, q0: float = 0.9, labels: int = 200, rest: int = 2000
) -> Callable[[np.random.Generator], tuple[float, Interval, float]]:
    """A corrected rate from an independent random sample of labels."""

    def study(chance: np.random.Generator) -> tuple[float, Interval, float]:
        truth = (chance.random(labels + rest) < rate).astype(float)
        judged = (chance.random(labels + rest) < np.where(truth == 1, q1, 1 - q0)).astype(float)
        y, f, others = truth[:labels], judged[:labels], judged[labels:]
        sensitivity, specificity = float(f[y == 1].mean()), float(1 - f[y == 0].mean())
        gladen = rogan_gladen(
            float(others.mean()), rest, sensitivity, int(y.sum()), specificity, int((1 - y).sum())
        )
        found = ppi_plus_plus(y, f, others) if method == "ppi" else gladen
        return (
            found.rate or 0.0,
            None if found.low is None or found.high is None else (found.low, found.high),
            rate,
        )

    return study


def one_rate(
    low: float, high: float, n: int = 100
) -> Callable[[np.random.Generator], tuple[float, Interval, float]]:
    """A rate of its own for each study: at one fixed rate Wilson's coverage jumps with the rate, because
    counts are whole numbers."""

    def study(chance: np.random.Generator) -> tuple[float, Interval, float]:
        rate = float(chance.uniform(low, high))
        k = int(chance.binomial(n, rate))
        bottom, top = wilson(k, n)
        return k / n, (float(bottom), float(top)), rate

    return study


def two_rates(
    one: float, two: float, n: int = 100
) -> Callable[[np.random.Generator], tuple[float, Interval, float]]:
    def study(chance: np.random.Generator) -> tuple[float, Interval, float]:
        k, m = (int(chance.binomial(n, p)) for p in (one, two))
        return (k - m) / n, newcombe(k, n, m, n), one - two

    return study


STUDY_KINDS: list[tuple[str, Callable[[np.random.Generator], tuple[float, Interval, float]], bool]] = [
    ("matched difference of two recipes, first crossing", matched_difference(), True),
    ("matched difference of two recipes, last crossing", matched_difference("last"), True),
    ("matched difference against the start", matched_difference(against="start"), True),
    ("matched difference, mean of three seeds", matched_difference(seeds=3), True),
    ("matched difference, safest crossing (called optimistic)", matched_difference("safest"), False),
    ("two-level bootstrap, 5 seeds that differ by 5 points", two_level(5, 0.05), False),
    ("two-level bootstrap, 20 seeds that differ by 5 points", two_level(20, 0.05), True),
    ("Wilson, rates from 0.1 to 0.9, n 100", one_rate(0.1, 0.9), True),
    ("Wilson, rates from 0 to 0.05, n 100", one_rate(0.0, 0.05), False),
    ("Newcombe, 0.3 against 0.15, n 100", two_rates(0.3, 0.15), True),
    ("PPI++, two samples, rate 0.3", from_two_samples("ppi", 0.3), True),
    ("PPI++, two samples, rate 0.12", from_two_samples("ppi", 0.12), True),
    ("Rogan-Gladen, two samples, rate 0.3", from_two_samples("rogan-gladen", 0.3), True),
    ("Rogan-Gladen, two samples, rate 0.12", from_two_samples("rogan-gladen", 0.12), True),
    ("PPI++, unequal probabilities, rate 0.4", corrected("ppi", 0.4), True),
    ("PPI++, unequal probabilities, rate 0.15", corrected("ppi", 0.15), True),
    ("PPI++, unequal probabilities, weak judge (q0 + q1 = 1.35)", corrected("ppi", 0.4, 0.7, 0.65), True),
    ("Rogan-Gladen, unequal probabilities, rate 0.4", corrected("rogan-gladen", 0.4), True),
    ("Rogan-Gladen, unequal probabilities, rate 0.15", corrected("rogan-gladen", 0.15), True),
    (
        "Rogan-Gladen, unequal probabilities, weak judge (q0 + q1 = 1.35)",
        corrected("rogan-gladen", 0.4, 0.7, 0.65),
        True,
    ),
    ("PPI++, random queue", from_queue("random"), True),
    ("PPI++, random queue, stopped after 60 %", from_queue("random", 0.6), True),
    ("PPI++, random queue, extended by half", from_queue("random", extended=200), True),
    ("PPI++, stratified queue", from_queue("stratified"), True),
    ("PPI++, stratified queue, stopped after 60 %", from_queue("stratified", 0.6), True),
    ("PPI++, disagreement queue with 60 % at random", from_queue("disagreement", share=0.6), True),
    (
        "PPI++, disagreement queue with 60 % at random, stopped after 90 % (the random part counts)",
        from_queue("disagreement", 0.9, share=0.6),
        True,
    ),
    ("PPI++, two queues, one random and one stratified", from_queue("two queues"), True),
    ("Rogan-Gladen, random queue", from_queue("random", method="rogan-gladen"), True),
    ("Rogan-Gladen, stratified queue", from_queue("stratified", method="rogan-gladen"), True),
    (
        "Rogan-Gladen, disagreement queue with 60 % at random",
        from_queue("disagreement", method="rogan-gladen", share=0.6),
        True,
    ),
    ("PPI++, 50 labels, rate 0.05", corrected("ppi", 0.05, behaviours=70, chances=(0.6, 0.3)), False),
    (
        "Rogan-Gladen, 50 labels, rate 0.05",
        corrected("rogan-gladen", 0.05, behaviours=70, chances=(0.6, 0.3)),
        False,
    ),
]


def main() -> None:
    results = []
    for name, study, claimed in STUDY_KINDS:
        found = coverage(name, study, claimed)
        results.append(
            {
                "name": name,
                "claimed": claimed,
                "studies": found.studies,
                "covered": found.covered,
                "bias": found.bias,
                "holds": found.holds,
            }
        )
        print(
            f"{found.covered:6.1%}  bias {found.bias:+.4f}  "
            f"{'claimed' if claimed else 'reported'}{'' if found.holds else '  DOES NOT HOLD'}  {name}",
            flush=True,
        )
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "validate.json").write_text(json.dumps(results, indent=1) + "\n")
    sys.exit(any(not r["holds"] for r in results))


if __name__ == "__main__":
    main()
