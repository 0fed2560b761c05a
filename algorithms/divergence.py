"""How far two policies are apart, and the curvature of that distance: in a policy's outputs, and in the parameters of its network."""

from __future__ import annotations

from torch import Tensor

from algorithms import maxent
from algorithms.policies import Categorical, Gaussian, Head
from algorithms.population.curvature import Tangent


def kl(old: Categorical | Gaussian, new: Categorical | Gaussian) -> Tensor:
    """KL(old || new) in nats [P, B]; of Gaussians in closed form."""
    if isinstance(old, Categorical):
        assert isinstance(new, Categorical)
        return maxent.kl(old.log_policy, new.log_policy)
    assert isinstance(new, Gaussian)
    shift, ratio = (old.mean - new.mean) / new.log_std.exp(), old.log_std - new.log_std
    return (0.5 * (shift * shift + (2 * ratio).exp() - 1) - ratio).sum(-1)


class Fisher:
    """v -> (F + damping) v of directions [P, n]: F is the curvature of the batch's mean KL(old || new) in a network's parameters."""

    def __init__(self, head: Head, policy: Categorical | Gaussian, network: Tangent, damping: float) -> None:
        self.head, self.policy, self.network, self.damping = head, policy, network, damping

    def __call__(self, direction: Tensor) -> Tensor:
        (outputs,), (change,) = self.network.heads, self.network.along(direction)
        by_outputs, by_free = slope(self.head, self.policy, outputs, change, self.network.globals(direction))
        return self.network.gradient(by_outputs, by_globals=by_free) + self.damping * direction


def slope(
    head: Head, policy: Categorical | Gaussian, outputs: Tensor, change: Tensor, free: Tensor
) -> tuple[Tensor, Tensor | None]:
    """F u of each sample's own Fisher matrix in the outputs [P, B, out], and the batch's mean in the free parameters [P, free].

    u: `change` of the outputs, and of the `free` parameters.
    """
    if isinstance(policy, Categorical):
        probability = policy.log_policy.exp()
        return probability * (change - (probability * change).sum(-1, keepdim=True)), None
    assert head.scheme is not None
    moved = head.scheme.gaussian(change, free)  # linear in both, but for the clip of scheme 4
    log_std = moved.log_std
    if head.scheme.number == 4:
        log_std = free.unsqueeze(1) + change.chunk(2, -1)[1] * (outputs.chunk(2, -1)[1] <= 0)
    return head.scheme.slope(outputs, moved.mean * (-2 * policy.log_std).exp(), 2 * log_std)
