"""Mitigations by name: those after training (an adapter becomes another one) and those while training.

The one before training, in which the data become others, is `training.self_distillation`.

What each is, where it was published and what it needs stands in `catalogue/mitigations.toml`.
"""

from __future__ import annotations

from capsafe_core.training.mitigations.after import METHODS, Change, Given, Pair
from capsafe_core.training.mitigations.constrained import Constrained
from capsafe_core.training.mitigations.during import Means, Mitigation
from capsafe_core.training.mitigations.ewc import ElasticWeights
from capsafe_core.training.mitigations.lisa import Lisa
from capsafe_core.training.mitigations.mixing import Mixing
from capsafe_core.training.mitigations.preference import Preference
from capsafe_core.training.mitigations.safety_layers import SafetyLayers
from capsafe_core.training.mitigations.start_kl import StartKL
from capsafe_core.training.mitigations.whole_weights import WholeWeights

WHILE_TRAINING: dict[str, type[Mitigation]] = {
    "mixing": Mixing,
    "lisa": Lisa,
    "constrained": Constrained,
    "kl": StartKL,
    "ewc": ElasticWeights,
    "safety-layers": SafetyLayers,
    "dpo": Preference,
}

__all__ = ["METHODS", "WHILE_TRAINING", "Change", "Given", "Means", "Mitigation", "Pair", "WholeWeights"]
