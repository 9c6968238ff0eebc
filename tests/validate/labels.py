"""Simulated studies of rates corrected by people's labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from capsafe_core.stats.correction import (
    MIN_LABELS,
    Labelled,
    anytime,
    ppi_plus_plus,
    rogan_gladen,
    weighted_ppi,
    weighted_rogan_gladen,
)
from capsafe_core.stats.design import (
    LEAST,
    Design,
    Stratum,
    alike,
    collapsed,
    completed,
    inclusion,
    priority_design,
    random_rank,
    stratified_design,
)
from capsafe_core.stats.fallible import fallible_bounds
from tests.validate.simulated import Floats, Interval, Study


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
) -> Study:
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


def by_one_person(missed: float, is_bounded: bool, doubled: int = 60, rate: float = 0.3) -> Study:
    """A corrected rate from labels of one person who misses a share of events; bounded by what labels of a
    second one, who misses as many, differ in."""

    def study(chance: np.random.Generator) -> tuple[float, Interval, float]:
        data = labelled(chance, rate, 0.85, 0.8, 500, (0.5, 0.25))

        def told(truth: Floats) -> Floats:
            return truth * (chance.random(len(truth)) >= missed)

        first = told(data.truth)
        found = weighted_ppi(replace(data, truth=first))
        if found.rate is None or found.low is None or found.high is None:
            return 0.0, None, rate
        ends = (max(found.low, 0.0), min(found.high, 1.0))
        if is_bounded:
            both = chance.choice(np.flatnonzero(data.probability > 0), doubled, replace=False)
            ends = fallible_bounds(*ends, float((first[both] != told(data.truth)[both]).mean()))
        return found.rate, ends, rate

    return study


def from_queue(
    strategy: str,
    answered: float = 1.0,
    method: str = "ppi",
    size: int = 400,
    share: float = 0.3,
    extended: int = 0,
) -> Study:
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
) -> Study:
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


def small_strata(
    size: int, answered: int, looks: int = 0, checkpoints: int = 25, behaviours: int = 120
) -> Study:
    """A corrected rate from a stratified queue that has many small strata, and is answered in a mixed order:
    25 checkpoints that differ in what they do, as in a study of several paths.

    Args:
        size: of the queue, and `answered` how many of it are.
        looks: after how many labels each people look at the interval that holds at every look; 0 for the
        fixed one
            at the end alone.
    """
    outputs = behaviours * checkpoints
    clusters, checkpoint = (
        np.arange(behaviours).repeat(checkpoints),
        np.tile(np.arange(checkpoints), behaviours),
    )

    def study(chance: np.random.Generator) -> tuple[float, Interval, float]:
        rate = np.linspace(0.05, 0.35, checkpoints)[checkpoint]
        risk = chance.beta(4 * rate, 4 * (1 - rate))
        truth = (chance.random(outputs) < risk).astype(float)
        broken = chance.random(outputs) < np.linspace(0.0, 0.5, checkpoints)[checkpoint]
        judged = (chance.random(outputs) < np.where(truth == 1, 0.8, np.where(broken, 0.5, 0.1))).astype(
            float
        )
        names = np.array(
            [f"{b:d}, {j:.0f}, {c:02d}" for b, j, c in zip(broken, judged, checkpoint, strict=True)],
            dtype=object,
        )
        if len(set(names)) * LEAST > size:
            names = np.array([f"{b:d}, {j:.0f}" for b, j in zip(broken, judged, strict=True)], dtype=object)
        rank = random_rank([str(i) for i in range(outputs)], str(chance.integers(2**31)))
        design = stratified_design(names, rank, size)
        order = chance.permutation(np.repeat(np.arange(len(design.strata)), [s.drawn for s in design.strata]))

        def after(labels: int) -> Labelled:
            done = np.bincount(order[:labels], minlength=len(design.strata))
            drawn = np.zeros(outputs, dtype=bool)
            for number, n in enumerate(done):
                drawn[design.drawn(number)[:n]] = True
            groups = collapsed(done)
            sizes = np.bincount(groups, weights=[s.size for s in design.strata])
            shares = list((np.bincount(groups, weights=done) / sizes)[groups])
            probability = np.where(drawn, inclusion(design.codes, shares), 0.0)
            return Labelled(judged, truth, probability, clusters, alike(design.codes, shares))

        if not looks:
            found = weighted_ppi(after(answered))
            return (
                found.rate or 0.0,
                None if found.low is None else (found.low, found.high or 1.0),
                truth.mean(),
            )
        low, high, rate_now = 0.0, 1.0, 0.0
        for labels in range(MIN_LABELS, answered + 1, looks):
            found = weighted_ppi(after(labels))
            ends, rate_now = anytime(found, labels), found.rate or 0.0
            low, high = (max(low, ends[0]), min(high, ends[1])) if ends else (low, high)
        return rate_now, (low, high), truth.mean()

    return study
