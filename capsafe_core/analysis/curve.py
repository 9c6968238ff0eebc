"""What the variants of a specification curve are beside each other."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import numpy.typing as npt
import pandas as pd

from capsafe_core.specification import BOUNDS, Policy
from capsafe_core.stats.specification import Joint, Shares, family_shares, joint_test

Floats = npt.NDArray[np.float64]
LEVEL = 0.05
"""chance up to which variants on both sides of zero contradict each other"""


class Kind(StrEnum):
    """What a variant is beside the others."""

    CHOICE = "choice"
    """what somebody may have chosen"""
    BOUND = "bound"
    """counts every incoherent response alike, and is not what the study declares"""
    REPEAT = "repeat"
    """the same in every resample as a variant that counts, so that it cannot differ"""


def kinds_of(curve: pd.DataFrame, draws: Floats, declared: Policy) -> list[Kind]:
    """The kind of each variant; of those that are the same everywhere the primary one counts, else the first.

    Args:
        draws: (resamples, variants).
        declared: the policy of the view, which is a choice whatever it counts.
    """
    kinds = [Kind.CHOICE] * len(curve)
    estimates, policies = curve["estimate"].to_numpy(dtype=float), list(curve["policy"])
    seen: set[bytes] = set()
    for i in np.argsort(~curve["primary"].to_numpy(dtype=bool), kind="stable"):
        told = (np.append(estimates[i], draws[:, i]).round(9) + 0.0).tobytes()
        if policies[i] in BOUNDS and policies[i] != declared:
            kinds[i] = Kind.BOUND
        elif told in seen:
            kinds[i] = Kind.REPEAT
        else:
            seen.add(told)
    return kinds


def together(curve: pd.DataFrame, draws: Floats) -> tuple[Shares | None, Joint | None]:
    """What the variants that count say together: the shares of directions, and the test of all of them.

    Args:
        draws: (resamples, variants), in the order of the curve.
    """
    counts = (curve["kind"] == Kind.CHOICE).to_numpy()
    counted = curve[counts]
    shares = family_shares(counted["direction"].to_numpy(), list(counted["family"]))
    return shares, joint_test(counted["estimate"], draws[:, counts], counted["low"], counted["high"])


def leading(curve: pd.DataFrame) -> int:
    """The place of the variant that stands for all: the primary one, or the middle one where that cannot be
    computed."""
    main = np.flatnonzero(curve["primary"].to_numpy())
    return int(main[0]) if len(main) else len(curve) // 2


def contradicted(curve: pd.DataFrame, joint: Joint | None) -> bool:
    """Whether variants contradict each other: intervals on both sides exclude zero, more of them than chance
    would bring."""
    resolved = curve[curve["direction"] != 0]
    return resolved["direction"].nunique() == 2 and (joint is None or joint.opposed_p <= LEVEL)
