"""Members as rows: networks and their optimizers. The names that a pair imports."""

from algorithms.population.networks import Network
from algorithms.population.optimizers import (
    adam_,
    adam_state,
    clip_norm_,
    copy_when_,
    descend_,
    follow_,
    gradient,
    leaf,
    rmsprop_,
    rmsprop_state,
)

__all__ = [
    "Network",
    "adam_",
    "adam_state",
    "clip_norm_",
    "copy_when_",
    "descend_",
    "follow_",
    "gradient",
    "leaf",
    "rmsprop_",
    "rmsprop_state",
]
