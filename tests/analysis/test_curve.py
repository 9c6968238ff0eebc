"""Which variants of a specification curve count: choices, but neither bounds nor repeats."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsafe_core.analysis.arms import Arm, Claim
from capsafe_core.analysis.conclusions import conclusion
from capsafe_core.analysis.curve import Kind, kinds_of
from capsafe_core.analysis.paths import path_table
from capsafe_core.analysis.runs import matched_runs
from capsafe_core.analysis.view import View, open_view
from capsafe_core.selection import Selection
from capsafe_core.specification import BOUNDS, Policy

VARIANT = st.tuples(st.sampled_from(list(Policy)), st.integers(0, 3), st.integers(0, 3))


@given(st.lists(VARIANT, min_size=1, max_size=20), st.integers(0, 19), st.sampled_from(list(Policy)))
def test_of_variants_that_are_the_same_one_counts_and_bounds_do_not(
    variants: list[tuple[Policy, int, int]], primary: int, declared: Policy
) -> None:
    primary %= len(variants)
    told = [(estimate, other) for _, estimate, other in variants]
    curve = pd.DataFrame(
        {
            "policy": [policy.value for policy, _, _ in variants],
            "estimate": [float(e) for e, _ in told],
            "primary": [i == primary for i in range(len(variants))],
        }
    )
    draws = np.array([[float(e), float(o), np.nan] for e, o in told]).T
    kinds = kinds_of(curve, draws, declared)
    bounds = {i for i, (policy, _, _) in enumerate(variants) if policy in BOUNDS and policy != declared}
    assert {i for i, kind in enumerate(kinds) if kind is Kind.BOUND} == bounds
    counted = [told[i] for i, kind in enumerate(kinds) if kind is Kind.CHOICE]
    assert len(counted) == len(set(counted))
    assert set(counted) == {told[i] for i in range(len(told)) if i not in bounds}
    assert primary in bounds or kinds[primary] is Kind.CHOICE


@pytest.mark.parametrize("policy", ["", *(p for p in Policy if not p.paired)])
def test_what_is_declared_or_chosen_is_no_bound(view: View, policy: str) -> None:
    chosen = open_view(view.store, Selection(policy=policy))
    claim = Claim(Arm("recipe", "harsh"), Arm("start", "aligned"))
    found = conclusion(chosen, claim, matched_runs(chosen, path_table(chosen)))
    curve, own = found.curve, chosen.specification.policy
    apart = curve[curve["policy"].isin(BOUNDS) & (curve["policy"] != own)]
    assert (apart["kind"] == Kind.BOUND).all()
    assert len(apart) == (curve["kind"] == Kind.BOUND).sum() > 0
    same, total = found.agreement
    assert total == len(found.counted) == (curve["kind"] == Kind.CHOICE).sum()
    main = found.counted[found.counted["primary"]].iloc[0]
    assert same == (np.sign(found.counted["estimate"]) == np.sign(main["estimate"])).sum()
    assert f"Of {total} analysis variants" in found.in_all
    assert f"Not counted: {len(apart)} that count every incoherent response as " in found.in_all
    assert found.shares is not None
    means = found.counted.assign(up=found.counted["direction"] == 1).groupby("family")["up"].mean()
    assert found.shares.up == pytest.approx(means.mean())
