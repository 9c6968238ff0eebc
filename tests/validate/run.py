"""`make validate`: do 95 % intervals cover the truth as often as they say, and are verbs said falsely too
often?

Each line is one kind of study, simulated 1,000 times (4,000 for false verbs) with the functions that the
screens use. What a line promises stands in `simulated.BOUNDS`; the command fails where one does not hold.
Results go to build/validate.json.
"""

from __future__ import annotations

import json
import sys

from capsafe_core.settings import ROOT
from capsafe_core.specification import Crossing
from tests.validate.at_goal import (
    APART,
    EDGE,
    FAR,
    NEVER,
    RARE,
    STALLED,
    A,
    B,
    Design,
    difference_at_goal,
    no_difference,
    one_rate,
    over_seeds,
    rate_at_goal,
    seeds_apart,
    stopped,
    success_among,
    two_rates,
)
from tests.validate.corrected_difference import Labelling, corrected_difference
from tests.validate.labels import by_one_person, corrected, from_queue, from_two_samples, small_strata
from tests.validate.simulated import STUDIES, Promise, Study, coverage

CLAIMED, CONSERVATIVE, REPORTED, FALSE_VERBS = Promise
MANY = Design(items=1000)
"""so many capability items that checkpoints around a goal do not look far apart by chance"""

LINES: list[tuple[str, Study, Promise]] = [
    (
        "difference of two recipes at the goal, first crossing",
        difference_at_goal(A, B, design=MANY),
        CONSERVATIVE,
    ),
    (
        "difference of two recipes at the goal, last crossing",
        difference_at_goal(A, B, Crossing.LAST, design=MANY),
        CONSERVATIVE,
    ),
    ("difference at the goal to the start", difference_at_goal(A, design=MANY), CONSERVATIVE),
    (
        "difference at the goal, mean of three seeds",
        difference_at_goal(A, B, seeds=3, design=MANY),
        CONSERVATIVE,
    ),
    (
        "difference at the goal, safest crossing (called optimistic)",
        difference_at_goal(A, B, Crossing.SAFEST),
        REPORTED,
    ),
    (
        "difference at the goal, 30 behaviours",
        difference_at_goal(A, B, design=Design(1000, 30)),
        CONSERVATIVE,
    ),
    ("rate at the goal", rate_at_goal(A, design=MANY), CLAIMED),
    ("difference of two recipes at the goal, 200 capability items", difference_at_goal(A, B), CONSERVATIVE),
    ("rate at the goal, 1 to 2 %", rate_at_goal(RARE), CONSERVATIVE),
    ("rate at the goal, 0.2 %", rate_at_goal(NEVER), CONSERVATIVE),
    ("difference at the goal to the start, rates of 0 to 2 %", difference_at_goal(RARE), CONSERVATIVE),
    (
        "difference of two recipes at the goal, rates of 0 to 2 %",
        difference_at_goal(RARE, NEVER),
        CONSERVATIVE,
    ),
    ("rate at the goal between far-apart checkpoints", rate_at_goal(FAR), CONSERVATIVE),
    ("difference to the start between far-apart checkpoints", difference_at_goal(FAR), CONSERVATIVE),
    ("difference to the start, far-apart checkpoints on a line", difference_at_goal(APART), CONSERVATIVE),
    (
        "difference of two recipes, one between far-apart checkpoints",
        difference_at_goal(FAR, B),
        CONSERVATIVE,
    ),
    ("rate at the goal at the end of the path, where it is given", rate_at_goal(EDGE, design=MANY), CLAIMED),
    ("rate where training stopped", stopped(A, 0.1), CLAIMED),
    (
        "compared where training stopped, though 6 pts below the goal with a tolerance of 5",
        stopped(STALLED, 0.05, false_match=True),
        FALSE_VERBS,
    ),
    ("5 seeds that differ by 3 pts", over_seeds(5, 0.03), CLAIMED),
    ("5 seeds that differ by 10 pts", over_seeds(5, 0.1), CLAIMED),
    ("20 seeds that differ by 5 pts", over_seeds(20, 0.05), CLAIMED),
    *(
        (
            f"two equal recipes, {seeds} seeds that differ by {100 * spread:.0f} pts{more}",
            study,
            FALSE_VERBS,
        )
        for seeds, recipes, more in ((2, 3, ", of three recipes"), (3, 2, ""), (5, 2, ""))
        for spread in (0.0, 0.03, 0.05, 0.1)
        for study in [seeds_apart(seeds, spread, recipes)]
    ),
    *(
        (
            f"a recipe equal to its start, {seeds} seeds that differ by {100 * spread:.0f} pts",
            study,
            FALSE_VERBS,
        )
        for seeds, recipes in ((2, 3), (3, 2), (5, 1))
        for spread in (0.0, 0.05)
        for study in [seeds_apart(seeds, spread, recipes, start=True)]
    ),
    *(
        (f"joint test of 12 judges where nothing differs: {words}", no_difference(12, test), FALSE_VERBS)
        for test, words in (
            ("median_p", "median"),
            ("resolved_p", "on one side"),
            ("opposed_p", "on both sides"),
        )
    ),
    *((f"worst of {k} of 5 answers", success_among(k, behaviours=200), CLAIMED) for k in (1, 3, 5)),
    ("Wilson, rates from 0.1 to 0.9, n 100", one_rate(0.1, 0.9), CLAIMED),
    ("Wilson, rates from 0 to 0.05, n 100", one_rate(0.0, 0.05), REPORTED),
    ("Newcombe, 0.3 against 0.15, n 100", two_rates(0.3, 0.15), CLAIMED),
    ("PPI++, two samples, rate 0.3", from_two_samples("ppi", 0.3), CLAIMED),
    ("PPI++, two samples, rate 0.12", from_two_samples("ppi", 0.12), CLAIMED),
    ("Rogan-Gladen, two samples, rate 0.3", from_two_samples("rogan-gladen", 0.3), CLAIMED),
    ("Rogan-Gladen, two samples, rate 0.12", from_two_samples("rogan-gladen", 0.12), CONSERVATIVE),
    ("PPI++, unequal probabilities, rate 0.4", corrected("ppi", 0.4), CLAIMED),
    ("PPI++, unequal probabilities, rate 0.15", corrected("ppi", 0.15), CLAIMED),
    ("PPI++, unequal probabilities, weak judge (q0 + q1 = 1.35)", corrected("ppi", 0.4, 0.7, 0.65), CLAIMED),
    ("Rogan-Gladen, unequal probabilities, rate 0.4", corrected("rogan-gladen", 0.4), CLAIMED),
    ("Rogan-Gladen, unequal probabilities, rate 0.15", corrected("rogan-gladen", 0.15), CLAIMED),
    (
        "Rogan-Gladen, unequal probabilities, weak judge (q0 + q1 = 1.35)",
        corrected("rogan-gladen", 0.4, 0.7, 0.65),
        CLAIMED,
    ),
    ("PPI++, labels of one person who misses 10 % of harms", by_one_person(0.1, False), REPORTED),
    ("the same, bounded by 60 double labels", by_one_person(0.1, True), CONSERVATIVE),
    ("PPI++, labels that miss nothing, bounded by 60 double labels", by_one_person(0.0, True), CONSERVATIVE),
    ("PPI++, random queue", from_queue("random"), CLAIMED),
    ("PPI++, random queue, stopped after 60 %", from_queue("random", 0.6), CLAIMED),
    ("PPI++, random queue, extended by half", from_queue("random", extended=200), CLAIMED),
    ("PPI++, stratified queue", from_queue("stratified"), CLAIMED),
    ("PPI++, stratified queue, stopped after 60 %", from_queue("stratified", 0.6), CLAIMED),
    ("PPI++, disagreement queue with 60 % at random", from_queue("disagreement", share=0.6), CLAIMED),
    (
        "PPI++, disagreement queue with 60 % at random, stopped after 90 % (the random part counts)",
        from_queue("disagreement", 0.9, share=0.6),
        CLAIMED,
    ),
    ("PPI++, 100 small strata, half of 400 labels", small_strata(400, 200), CLAIMED),
    ("PPI++, 100 small strata, 400 labels", small_strata(400, 400), CONSERVATIVE),
    (
        "PPI++, 100 small strata, every look from 200 to 400 labels",
        small_strata(400, 400, looks=20),
        CONSERVATIVE,
    ),
    ("PPI++, small strata, 60 of 200 labels", small_strata(200, 60), REPORTED),
    ("PPI++, small strata, 23 of 60 labels", small_strata(60, 23), REPORTED),
    ("PPI++, two queues, one random and one stratified", from_queue("two queues"), CLAIMED),
    ("Rogan-Gladen, random queue", from_queue("random", method="rogan-gladen"), CLAIMED),
    ("Rogan-Gladen, stratified queue", from_queue("stratified", method="rogan-gladen"), CLAIMED),
    (
        "Rogan-Gladen, disagreement queue with 60 % at random",
        from_queue("disagreement", method="rogan-gladen", share=0.6),
        CLAIMED,
    ),
    *(
        (
            f"difference {of} as judged, where the judge errs otherwise on each arm and kind of response",
            study,
            REPORTED,
        )
        for of, start in (("of two recipes", False), ("to the start", True))
        for study in [corrected_difference(Labelling(400), start, "as judged")]
    ),
    *(
        (f"the same {of}, corrected by {words}, {labels} labels{where}", study, CONSERVATIVE)
        for method, words in (("ppi", "PPI++"), ("rogan-gladen", "Rogan-Gladen"))
        for labels, everywhere, where in (
            (250, False, " around the goal"),
            (400, False, " around the goal"),
            (800, True, " on all checkpoints"),
        )
        for of, start in (("of two recipes", False), ("to the start", True))
        for study in [corrected_difference(Labelling(labels, everywhere), start, method)]
    ),
    (
        "the same of two recipes, corrected by PPI++, 60 % of 400 labels around the goal",
        corrected_difference(Labelling(400, answered=0.6)),
        CONSERVATIVE,
    ),
    ("PPI++, 50 labels, rate 0.05", corrected("ppi", 0.05, behaviours=70, chances=(0.6, 0.3)), REPORTED),
    (
        "Rogan-Gladen, 50 labels, rate 0.05",
        corrected("rogan-gladen", 0.05, behaviours=70, chances=(0.6, 0.3)),
        REPORTED,
    ),
]


def main() -> None:
    results = []
    for name, study, promise in LINES:
        found = coverage(name, study, promise, (4 if promise is FALSE_VERBS else 1) * STUDIES)
        results.append(
            {
                "name": name,
                "promise": promise.value,
                "studies": found.studies,
                "covered": found.covered,
                "bias": found.bias,
                "holds": found.holds,
            }
        )
        print(
            f"{found.covered:6.1%}  bias {found.bias:+.4f}  "
            f"{promise.value}{'' if found.holds else '  DOES NOT HOLD'}  {name}",
            flush=True,
        )
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "validate.json").write_text(json.dumps(results, indent=1) + "\n")
    sys.exit(any(not r["holds"] for r in results))


if __name__ == "__main__":
    main()
