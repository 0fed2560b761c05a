"""Online soft Q-learning on an actor-critic's net: Q = V + tau log pi/ref. For the pgql pair. Schulman et al. 2017, sections 4 and 6.3."""

from __future__ import annotations

from torch import Tensor


def loss(
    log_ratio: Tensor, value: Tensor, backup: Tensor, penalty: Tensor, tau: Tensor, value_coefficient: float
) -> Tensor:
    """Half the squared error [P] of Q(s, a) = V + tau log pi/ref against y = tau KL + V-hat (Eq. 46), gradients scaled by stream.

    log_ratio: log pi(a|s)/ref(a|s); value: V(s); backup: V-hat, the entropy-augmented n-step return (Eq. 54, corrected);
    penalty: tau KL of s; all [P, B], the last two constant; tau [P, 1], above 0. Gradients into the advantage stream are scaled by
    1/tau (the print says 1/eps) and into the value stream by `value_coefficient`, so that the expected gradient is that of A2C (Eq. 86)
    term by term.
    """
    advantage_stream = _scaled(tau * log_ratio, 1 / tau)
    error = advantage_stream + _scaled(value, value_coefficient) - (penalty + backup)
    return 0.5 * error.square().mean(1)


def _scaled(stream: Tensor, factor: Tensor | float) -> Tensor:
    """The same value with its gradient times `factor`."""
    return factor * stream + (1 - factor) * stream.detach()
