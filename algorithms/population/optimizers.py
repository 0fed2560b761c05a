"""Steps of all members' optimizers on flat rows [P, n], in place: clipping, Adam, RMSProp, targets that follow.

Every row has its own rate, and what counts its steps is in its state. Product and sum are separate operations, and powers are running
products: fused or compound ones may round a row differently in other company.
"""

from __future__ import annotations

import torch
from torch import Tensor

from algorithms.learner import State

BETAS = (0.9, 0.999)


def leaf(parameters: Tensor) -> Tensor:
    """The parameters as what a gradient is taken by."""
    return parameters.detach().requires_grad_()


def gradient(loss: Tensor, parameters: Tensor) -> Tensor:
    """Gradient [P, n] of each member's own loss. loss [P]: rows do not touch, so one backward pass of the sum gives all."""
    (found,) = torch.autograd.grad(loss.sum(), parameters)
    return found


def clip_norm_(gradients: Tensor, limit: float, parts: int = 1) -> Tensor:
    """Scale each of `parts` equal parts of each row [P, n], in place, to a 2-norm of at most `limit`; returns the norms [P, parts]."""
    split = gradients.view(len(gradients), parts, -1)
    norms: Tensor = split.square().sum(2).sqrt()
    split.mul_((limit / (norms + 1e-6)).clamp_(max=1.0).unsqueeze(2))
    return norms


def adam_state(name: str, parameters: Tensor) -> State:
    """Parameters [P, n] with what Adam keeps of them. `adam_powers`: beta1 and beta2 to the number of steps taken."""
    powers = torch.ones(len(parameters), 2, dtype=torch.float64, device=parameters.device)
    zeros = {f"{name}.adam_{slot}": torch.zeros_like(parameters) for slot in ("mean", "square")}
    return {name: parameters, **zeros, f"{name}.adam_powers": powers}


def adam_(state: State, name: str, gradients: Tensor, rate: Tensor, epsilon: float = 1e-8) -> None:
    """One Adam step (Kingma and Ba 2015, section 2, last form) on state[name] [P, n], in place. rate [P]."""
    mean, square, powers = (state[f"{name}.adam_{slot}"] for slot in ("mean", "square", "powers"))
    beta1, beta2 = BETAS
    powers[:, 0].mul_(beta1)
    powers[:, 1].mul_(beta2)
    correction = 1 - powers
    root = correction[:, 1:].sqrt()
    step = (rate.unsqueeze(1) * root / correction[:, :1]).to(mean.dtype)
    mean.mul_(beta1).add_(gradients, alpha=1 - beta1)
    square.mul_(beta2).addcmul_(gradients, gradients, value=1 - beta2)
    change = square.sqrt().add_((epsilon * root).to(mean.dtype))
    torch.div(mean, change, out=change)
    state[name].sub_(change.mul_(step))


def descend_(
    state: State,
    name: str,
    loss: Tensor,
    parameters: Tensor,
    rate: Tensor,
    epsilon: float = 1e-8,
) -> None:
    """One Adam step of each member down its own loss [P]; `parameters`: the leaf of state[name] that the loss was computed from."""
    adam_(state, name, gradient(loss, parameters), rate, epsilon)


def rmsprop_state(name: str, parameters: Tensor) -> State:
    """Parameters [P, n] with what RMSProp keeps of them."""
    return {name: parameters, f"{name}.rms_square": torch.zeros_like(parameters)}


def rmsprop_(
    state: State, name: str, gradients: Tensor, rate: Tensor, decay: float = 0.99, epsilon: float = 1e-5
) -> None:
    """One RMSProp step on state[name] [P, n], in place; epsilon outside the root, as in PyTorch. rate [P]."""
    square = state[f"{name}.rms_square"]
    square.mul_(decay).addcmul_(gradients, gradients, value=1 - decay)
    change = square.sqrt().add_(epsilon)
    torch.div(gradients, change, out=change)
    state[name].sub_(change.mul_(rate.unsqueeze(1)))


def follow_(target: Tensor, source: Tensor, keep: float) -> None:
    """target <- keep target + (1 - keep) source, in place."""
    target.mul_(keep).add_(source, alpha=1 - keep)


def copy_when_(target: Tensor, source: Tensor, due: Tensor) -> None:
    """target <- source where `due` (0-d), in place, without asking the host."""
    torch.where(due, source, target, out=target)
