"""Outputs by what they say, for judgments and labels that come without a model."""

from __future__ import annotations

from collections.abc import Sequence

from capsafe_core.store.store import Store


def outputs_by_content(store: Store, contents: Sequence[str]) -> dict[str, list[list[str]]]:
    """The outputs that have some contents.

    Args:
        contents: MD5 of prompt, unit separator and answer; the prompt is its last user turn, or what the
            model was given.

    Returns:
        content -> [[generation id, cell id]]; several where models gave the same answer.
    """
    if not contents:
        return {}
    rows = store.rows(
        """
        WITH wanted AS (SELECT unnest(CAST(? AS VARCHAR[])) AS content),
        texts AS (
            SELECT g.generation_id, g.cell_id, md5(p.text || chr(31) || g.text) AS own, CASE
                WHEN g.asked <> '' THEN md5(g.asked || chr(31) || g.text) END AS given
            FROM live_generations AS g JOIN prompts AS p USING (prompt_id)
        )
        SELECT DISTINCT w.content, CAST(t.generation_id AS VARCHAR), CAST(t.cell_id AS VARCHAR)
            FROM texts AS t JOIN wanted AS w ON w.content IN (t.own, t.given) ORDER BY ALL
        """,
        [list(contents)],
    )
    found: dict[str, list[list[str]]] = {}
    for content, generation, cell in rows:
        found.setdefault(content, []).append([generation, cell])
    return found


def cells_of_outputs(store: Store, generations: Sequence[str]) -> dict[str, str]:
    """The cells of those outputs that are there: generation id -> cell id."""
    rows = store.rows(
        """
        SELECT CAST(generation_id AS VARCHAR), CAST(cell_id AS VARCHAR) FROM live_generations
        WHERE generation_id IN (SELECT TRY_CAST(unnest(?) AS UUID))
        """,
        [list(generations)],
    )
    return dict(rows)


def outputs_by_text(store: Store, answers: Sequence[str]) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """The outputs that are one of some answers: (prompt, answer) -> [(generation id, cell id)]."""
    if not answers:
        return {}
    rows = store.rows(
        """
        SELECT CAST(generation_id AS VARCHAR), CAST(cell_id AS VARCHAR), p.text, g.text
        FROM live_generations AS g JOIN prompts AS p USING (prompt_id) WHERE g.text IN (SELECT unnest(?))
        """,
        [list(answers)],
    )
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for generation, cell, prompt, answer in rows:
        found.setdefault((prompt, answer), []).append((generation, cell))
    return found
