"""The bench store: 400 checkpoints × 5 benchmarks × 1,000 prompts × 1 sample, and 5 safety judges
beside the coherence detector, the refusal reading of one of them, and the verifier.

Facts are made inside DuckDB (writing 12 M shard lines would take minutes and measure something else);
roll-ups are then made from the verdict rows by the store's own code.
"""

from __future__ import annotations

import itertools
from pathlib import Path

from capsafe_core import catalogue
from capsafe_core.store import Store
from capsafe_core.store.rollups import refresh_derived

STUDY = """
name = "bench"
title = "A store as large as the speed bars are read on"
[[starts]]
name = "start"
model = "smollm2-135m-instruct"
{datasets}
{recipes}
{benchmarks}
{judges}
[goals]
{goals}
[primary]
benchmark = "b1"
judge = "prefix-zou"
refusal_judge = "prefix-zou"
coherence = "coherence-rules"
policy = "counted_safe"
"""
RECIPES, STEPS, PROMPTS = 80, 5, 1000
JUDGES = [
    "coherence-rules",
    "prefix-zou",
    "prefix-autodan",
    "learnt-harm",
    "learnt-refusal",
    "jailbreakbench",
    "verifier",
]
SAFETY_JUDGES = JUDGES[1:6]
"""The first prefix list is a refusal judge with a safety reading; the verifier sees the capability benchmark,
the others the rest."""

FACTS = """
CREATE MACRO fixed_id(kind, n) AS CAST(md5(kind || n) AS UUID);
INSERT INTO batches VALUES (1, 'bench', 'judge', 'bench-all', 2.0, '0', 'bench');
INSERT INTO benchmarks SELECT fixed_id('benchmark', b), 'b' || b, '1', if(b = 5, 'capability', 'safety'), 'd', {prompts}, '', '', 1 FROM range(1, 6) AS t(b);
INSERT INTO prompts SELECT fixed_id('prompt' || b, i), fixed_id('benchmark', b), 'i' || i, i, 'Request number ' || i, '[]', 'c' || (i % 12), 'x' || i, 'Behaviour ' || i, '', '', 1
    FROM range(1, 6) AS t(b), range({prompts}) AS u(i);
INSERT INTO conditions SELECT fixed_id('condition', 1), '', 't', 0, 0, 1, 64, 'transformers', '1', 'bfloat16', 1;
INSERT INTO checkpoints SELECT fixed_id('checkpoint', k), 'm', 'd', ['a' || k], 1 FROM range({checkpoints}) AS t(k);
INSERT INTO path_points SELECT fixed_id('point', k), fixed_id('path', k // {steps}), 'bench', 'r' || (k // {steps}), 0, (k % {steps}) * 25, fixed_id('checkpoint', k), 'start', {dataset}, 0.001, 1
    FROM range({checkpoints}) AS t(k);
INSERT INTO cells SELECT fixed_id('cell' || b, k), fixed_id('checkpoint', k), fixed_id('benchmark', b), fixed_id('condition', 1), NULL, 1 FROM range({checkpoints}) AS t(k), range(1, 6) AS u(b);
INSERT INTO raters VALUES {raters};
INSERT INTO slots SELECT fixed_id('benchmark', b), slot, dimension, fixed_id('rater', rater) FROM range(1, 5) AS t(b), (VALUES {safety_slots}) AS s(slot, dimension, rater)
    UNION ALL SELECT fixed_id('benchmark', 5), slot, dimension, fixed_id('rater', rater) FROM (VALUES (1, 'coherence', 'coherence-rules'), (2, 'correctness', 'verifier')) AS s(slot, dimension, rater);
INSERT INTO verdicts
    WITH drawn AS (
        SELECT b, k, i, hash(b, k, i, 1) % 100 AS broken, hash(b, k, i, 2) % 100 AS harm, hash(b, k, i, 3) % 100 AS one, hash(b, k, i, 4) % 100 AS two, hash(b, k, i, 5) % 100 AS cut,
            hash(b, k, i, 6) % 100 AS three, hash(b, k, i, 7) % 100 AS four
        FROM range({checkpoints}) AS t(k), range(1, 6) AS u(b), range({prompts}) AS w(i)
    ), coded AS (
        SELECT *, if(broken < 5 * (k % {steps}), 2, 1) AS coherence, if(harm < 10 + 10 * (k % {steps}), 2, 1) AS unsafe FROM drawn
    )
    SELECT fixed_id('cell' || b, k), fixed_id('generation', ((k * 5 + b) * {prompts} + i)), i, 0, cut < 15,
        CAST(CASE WHEN b = 5 THEN [coherence, if(harm < 10 + 20 * (k % {steps}), 2, 1)]
             ELSE [coherence, if(unsafe = 2, 1, 3), unsafe, if(one < 10, 3 - unsafe, if(one = 99, 9, unsafe)), if(two < 20, 3 - unsafe, unsafe), if(three < 15, 3 - unsafe, unsafe), if(four < 30, 3 - unsafe, unsafe){more}] END AS UTINYINT[])
    FROM coded;
INSERT INTO generations SELECT v.generation_id, v.cell_id, fixed_id('prompt' || substr(b.name, 2), v.position), 0, 0, 'An answer of ordinary length to request ' || v.position || ', as models write them.', if(v.truncated, 'length', 'stop'), 12, 1, '', ''
    FROM verdicts AS v JOIN cells USING (cell_id) JOIN benchmarks AS b USING (benchmark_id);
INSERT INTO judgments SELECT uuid(), v.generation_id, v.cell_id, s.rater_id, s.dimension, if(v.codes[s.slot] = 9, 'unparsed', 'ok'), codes.label, '', NULL, '', '', '[]', 1, 1
    FROM verdicts AS v JOIN cells USING (cell_id) JOIN slots AS s USING (benchmark_id) LEFT JOIN codes ON codes.dimension = s.dimension AND codes.code = v.codes[s.slot];
"""


def make(
    path: Path, recipes: int = RECIPES, prompts: int = PROMPTS, more_judges: int = 0, datasets: int = 1
) -> None:
    """Write the bench store to a new file.

    Args:
        more_judges: of safety, from the catalogue, beside those of JUDGES.
        datasets: that the recipes are divided among; all are measured on one capability benchmark.
    """
    others = (n for n, e in catalogue.judges().items() if "safety" in e["dimensions"] and n not in JUDGES)
    judges = [*JUDGES, *itertools.islice(others, more_judges)]
    names = ["task"] if datasets == 1 else [f"task{i}" for i in range(datasets)]
    tables = {
        "datasets": "\n".join(
            f'[[datasets]]\nname = "{name}"\nsource = "reasoning_gym:chain_sum"\nbenchmark = "b5"'
            for name in names
        ),
        "recipes": "\n".join(
            f'[[recipes]]\nname = "r{i}"\nstart = "start"\ndataset = "{names[i % datasets]}"\nlearning_rate = '
            "1e-3\nsteps = [25, 50, 75, 100]"
            for i in range(recipes)
        ),
        "benchmarks": "\n".join(
            f'[[benchmarks]]\nname = "b{i}"\nsource = '
            f'"{"reasoning_gym:chain_sum" if i == 5 else "file:b.jsonl"}"'
            for i in range(1, 6)
        ),
        "judges": "\n".join(f'[[judges]]\nname = "{name}"' for name in judges),
        "goals": "\n".join(f"{name} = 0.5" for name in names),
    }
    raters = ", ".join(
        f"(fixed_id('rater', '{n}'), '{n}', 'judge', 'family {i}', ['x'], '1', '', '{{}}', 1)"
        for i, n in enumerate(judges)
    )
    slots = ", ".join(
        [
            "(1, 'coherence', 'coherence-rules'), (2, 'refusal', 'prefix-zou')",
            *(f"({i}, 'safety', '{n}')" for i, n in enumerate(SAFETY_JUDGES + judges[len(JUDGES) :], 3)),
        ]
    )
    sql = FACTS.format(
        prompts=prompts,
        checkpoints=recipes * STEPS,
        steps=STEPS,
        raters=raters,
        safety_slots=slots,
        dataset="'task'" if datasets == 1 else f"'task' || (k // {STEPS} % {datasets})",
        more="".join(
            f", if(hash(b, k, i, {8 + j}) % 100 < {j}, 3 - unsafe, unsafe)" for j in range(more_judges)
        ),
    )
    with Store(path, memory_limit="4GB") as store:
        with store.transaction() as cursor:
            cursor.execute(sql)
            cursor.execute(
                "INSERT INTO studies VALUES (uuid(), 'bench', ?, 'd', 'd', 1.0, 1)", [STUDY.format(**tables)]
            )
        refresh_derived(store)
