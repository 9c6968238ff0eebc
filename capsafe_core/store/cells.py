"""Cells: checkpoint × benchmark × condition × attack, those that differ only in what ran them pooled."""

from __future__ import annotations

import pandas as pd

from capsafe_core.specification import PARTS, part_value
from capsafe_core.store.store import Store

CELLS = """
SELECT CAST(c.cell_id AS VARCHAR) AS cell_id, CAST(c.checkpoint_id AS VARCHAR) AS checkpoint_id,
    b.name AS benchmark, b.kind, CAST(b.benchmark_id AS VARCHAR) AS benchmark_id, b.version, b.digest,
    coalesce(a.name, '') AS attack, coalesce(CAST(a.attack_id AS VARCHAR), '') AS attack_id,
    coalesce(d.system_prompt, '') AS system_prompt, d.few_shot, d.temperature, d.top_p, d.max_tokens,
    coalesce(d.template_digest, '') AS template_digest, concat_ws(' ', d.engine, d.engine_version,
        d.dtype) AS engine,
    coalesce(t.study, '') AS study
FROM cells AS c JOIN benchmarks AS b USING (benchmark_id) LEFT JOIN conditions AS d USING (condition_id)
LEFT JOIN attacks AS a USING (attack_id) LEFT JOIN batches AS t ON t.batch = c.batch
WHERE cell_id IN (SELECT cell_id FROM arrays WHERE slot = 0) ORDER BY cell_id
"""
_POOLED_BY = ["checkpoint_id", "benchmark_id", "attack_id", *PARTS]


def cells(store: Store) -> pd.DataFrame:
    """Every cell that has outputs; those that differ only in engine, engine version or dtype are one.

    Returns:
        cell_id, checkpoint_id, benchmark, kind, benchmark_id, attack ("" without one), version (of the
        benchmark), the parts of the condition as `part_value` writes them, engine (all that are pooled, with
        commas between), studies (whose jobs brought it; "" where the job names none).
    """
    return store.kept("cells", lambda: _pooled(store)[0])


def members(store: Store) -> dict[str, list[str]]:
    """The cells of the store that each pooled one is made of; only where there are several."""
    return store.kept("members", lambda: _pooled(store)[1])


def pooled_ids(store: Store) -> dict[str, str]:
    """For each cell that is pooled with others the id of the pooled one."""
    return {one: cell for cell, ones in members(store).items() for one in ones}


def _pooled(store: Store) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    every = store.frame(CELLS)
    several = every.duplicated(_POOLED_BY, keep=False)
    together: dict[str, list[str]] = {}
    engines, studies = dict[str, str](), dict[str, tuple[str, ...]]()
    if several.any():
        for _, rows in every[several].groupby(_POOLED_BY, sort=False, dropna=False):
            cell = str(rows["cell_id"].iloc[0])
            together[cell] = list(rows["cell_id"])
            engines[cell] = ", ".join(sorted(set(rows["engine"])))
            studies[cell] = tuple(dict.fromkeys(rows["study"]))
    out = every.drop_duplicates(_POOLED_BY).reset_index(drop=True)
    of_cell = list(out[["cell_id", "engine", "study"]].itertuples(index=False, name=None))
    out["engine"] = [engines.get(cell, engine) for cell, engine, _ in of_cell]
    out["studies"] = [studies.get(cell, (study,)) for cell, _, study in of_cell]
    for part in PARTS:
        values = {value: part_value(value) for value in out[part].unique()}
        out[part] = out[part].map(values).astype(object)
    out["version"] = _told_apart(out, "benchmark", "version", "benchmark_id", "digest")
    out["attack"] = _told_apart(out, "attack", "attack", "attack_id", "attack_id")
    return out.drop(columns=["digest", "attack_id", "study"]), together


def _told_apart(rows: pd.DataFrame, by: str, name: str, key: str, mark: str) -> pd.Series:
    """Names, with the beginning of a mark where several things have one name."""
    kinds = rows.drop_duplicates(key).groupby([by, name] if by != name else [name])[key].transform("size")
    shared = set(rows.loc[kinds.index[kinds > 1], key])
    marked = rows[name] + " (" + rows[mark].str[:6] + ")"
    return rows[name].where(~rows[key].isin(shared), marked)
