"""Steps of all members' optimizers on flat rows [P, n], in place: clipping, Adam, RMSProp, targets that follow.

Every row has its own rate, and what counts its steps is in its state. A row's numbers do not depend on the other rows.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from algorithms.learner import State
from algorithms.population.rows import ALIGN, by_hand

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
    if by_hand(gradients):
        values = split.numpy()
        norms = torch.from_numpy(np.sqrt(np.vecdot(values, values)))
    else:
        norms = torch.linalg.vector_norm(split, dim=2)
    split.mul_((limit / (norms + 1e-6)).clamp_(max=1.0).unsqueeze(2))
    return norms


def adam_state(name: str, parameters: Tensor) -> State:
    """Parameters [P, n] with what Adam keeps of them. `adam_count` [P]: steps taken."""
    zeros = {f"{name}.adam_{slot}": torch.zeros_like(parameters) for slot in ("mean", "square")}
    return {name: parameters, **zeros, f"{name}.adam_count": torch.zeros(len(parameters), device=parameters.device)}


def adam_(state: State, name: str, gradients: Tensor, rate: Tensor, epsilon: float = 1e-8) -> None:
    """One Adam step (Kingma and Ba 2015, Algorithm 1) on state[name] [P, n], in place. rate [P].

    On the CPU by torch's fused kernel, row by row where the rates differ: as long as a row is whole SIMD registers, its bits are the same.
    """
    parameters, mean, square, count = (
        state[f"{name}{slot}"] for slot in ("", ".adam_mean", ".adam_square", ".adam_count")
    )
    if by_hand(parameters):
        tensors = parameters, gradients, mean, square
        rates = rate.tolist()
        if len(set(rates)) == 1 and parameters.shape[1] % ALIGN == 0:
            # The highest count is that of all rows but of those that diverged, which were set to 0.
            _fused([[each.view(-1)] for each in tensors], count.amax(0, keepdim=True), rates[0], epsilon)
            count.add_(1)
        else:
            for row, value in enumerate(rates):
                _fused([[each[row]] for each in tensors], count[row : row + 1], value, epsilon)
        return
    count.add_(1)
    beta1, beta2 = BETAS
    mean.mul_(beta1).add_(gradients, alpha=1 - beta1)
    square.mul_(beta2).addcmul_(gradients, gradients, value=1 - beta2)
    steps = count.double().unsqueeze(1)  # in float32 1 - 0.999 would have four digits
    root = (1 - beta2**steps).sqrt()
    step = (rate.unsqueeze(1) * root / (1 - beta1**steps)).to(mean.dtype)
    parameters.sub_(step * mean / (square.sqrt() + (epsilon * root).to(mean.dtype)))


def _fused(tensors: list[list[Tensor]], count: Tensor, rate: float, epsilon: float) -> None:
    count.add_(1)
    beta1, beta2 = BETAS
    torch._fused_adam_(  # type: ignore[call-overload]
        *tensors,
        [],
        [count],
        lr=rate,
        beta1=beta1,
        beta2=beta2,
        weight_decay=0.0,
        eps=epsilon,
        amsgrad=False,
        maximize=False,
    )


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
