"""Multi-step targets with traces: TD(lambda) and V-trace. For the impala pair (V-trace) and soft Q-learning with lambda-returns.

Shapes and flags as in returns.py: [P, T, E]; `terminated` ends the return, `truncated` (a time limit, a cut) bootstraps.
"""

from __future__ import annotations

import torch
from torch import Tensor

from algorithms.returns import gae


def td_lambda(
    reward: Tensor,
    penalty: Tensor,
    value: Tensor,
    next_value: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    discount: float,
    trace: float,
) -> Tensor:
    """Soft Q targets y_t = V(s_t) + penalty_t + sum_d (discount trace)^d delta_{t+d} [P, T, E]; Schulman et al. 2017, Eq. 43.

    delta_t = r_t - penalty_t + discount V(s_{t+1}) - V(s_t), penalty = tau KL. The print of Eq. 43 has Q(s, a) where
    V(s) + tau KL(s) belongs (as in its Eq. 47): Q(s, a) differs from that by tau (log pi/ref - KL), the error of one action.
    """
    return value + penalty + gae(reward - penalty, value, next_value, terminated, truncated, discount, trace)


def v_trace(
    reward: Tensor,
    value: Tensor,
    next_value: Tensor,
    log_ratio: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    discount: float,
    clip_rho: float = 1.0,
    clip_c: float = 1.0,
) -> Tensor:
    """Targets v_t = V(s_t) + sum_d discount^d (prod_{i<d} c_i) rho_d delta_d [P, T, E]; Espeholt et al. 2018 (IMPALA), Eq. 1.

    `log_ratio`: log pi(a|s) - log mu(a|s) of the learner's and the behaviour policy; rho and c are the ratios, cut off at their clips.
    With ratios 1 it is the n-step return.
    """
    ratio = log_ratio.exp()
    rho, c = ratio.clamp(max=clip_rho), ratio.clamp(max=clip_c)
    delta = rho * (reward + discount * next_value * ~terminated - value)
    carry = discount * c * ~(terminated | truncated)
    correction, steps = torch.zeros_like(delta[:, 0]), []
    for step_delta, step_carry in zip(reversed(delta.unbind(1)), reversed(carry.unbind(1)), strict=True):
        correction = step_delta + step_carry * correction
        steps.append(correction)
    return value + torch.stack(steps[::-1], 1)
