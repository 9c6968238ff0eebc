"""Quantiles and tails of distributions.

`scipy.stats` takes over a second to import, and every command would wait for it; what it calls for these is
in `scipy.special`, which is imported where the first number needs it.
"""

from __future__ import annotations


def normal_quantile(p: float) -> float:
    """The standard normal's quantile, as `scipy.stats.norm.ppf`."""
    from scipy.special import ndtri

    return float(ndtri(p))


def normal_tail(value: float) -> float:
    """The chance of a larger standard normal value, as `scipy.stats.norm.sf`."""
    from scipy.special import ndtr

    return float(ndtr(-value))


def t_quantile(p: float, degrees: float) -> float:
    """The quantile of Student's t, as `scipy.stats.t.ppf`."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, p))


def chi2_tail(value: float, degrees: float) -> float:
    """The chance of a larger chi-square value, as `scipy.stats.chi2.sf`."""
    from scipy.special import chdtrc

    return float(chdtrc(degrees, value))
