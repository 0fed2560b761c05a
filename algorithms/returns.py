"""Returns and traces over a stretch of experience. `terminated` ends the return; `truncated` (a time limit, a cut) bootstraps.

Shapes: reward, value, next_value [P, T, E] (member, time, environment), terminated and truncated the same, boolean.
`next_value[:, t]` is the value of the observation that followed step t, before any reset: V(s_{t+1}).
"""

from __future__ import annotations

import torch
from torch import Tensor


def gae(
    reward: Tensor,
    value: Tensor,
    next_value: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    discount: float,
    trace: float,
) -> Tensor:
    """Generalized advantage estimates [P, T, E]; Liu et al. 2020, Eq. 36-37.

    A_t = delta_t + discount trace A_{t+1} within an episode, delta_t = r_t + discount V(s_{t+1}) - V(s_t),
    where V(s_{t+1}) is 0 after a termination.
    """
    delta = reward + discount * next_value * ~terminated - value
    carry = torch.full_like(reward, discount * trace) * ~(terminated | truncated)
    # Product and sum are separate operations: a fused multiply-add may round a row differently in other company.
    advantage, steps = torch.zeros_like(delta[:, 0]), []
    for step_delta, step_carry in zip(reversed(delta.unbind(1)), reversed(carry.unbind(1)), strict=True):
        advantage = step_delta + step_carry * advantage
        steps.append(advantage)
    return torch.stack(steps[::-1], 1)


def n_step(reward: Tensor, next_value: Tensor, terminated: Tensor, truncated: Tensor, discount: float) -> Tensor:
    """Returns to the end of the stretch [P, T, E]; Schulman et al. 2017, Eq. 54 (corrected).

    R_t = r_t + discount R_{t+1} within an episode; at the stretch's end and at a truncation R_{t+1} is V(s_{t+1}), after a termination 0.
    """
    ends = terminated | truncated
    ended = reward + discount * next_value * ~terminated
    gain, carry = torch.where(ends, ended, reward), torch.full_like(reward, discount) * ~ends
    # At the stretch's end, where nothing has ended, the next step's return is V(s_{t+1}).
    following, steps = next_value[:, -1], []
    for step_gain, step_carry in zip(reversed(gain.unbind(1)), reversed(carry.unbind(1)), strict=True):
        following = step_gain + step_carry * following
        steps.append(following)
    return torch.stack(steps[::-1], 1)


def n_step_windows(
    reward: Tensor, penalty: Tensor, next_value: Tensor, terminated: Tensor, ends: Tensor, discount: float
) -> Tensor:
    """n-step soft Q targets [P, B] of windows [P, B, n]; Schulman et al. 2017, Eq. 46.

    y_0 = r_0 + sum_{0<d<m} discount^d (r_d - penalty_d) + discount^m V(s_m), where the window stops after its first end
    (termination, truncation or cut) or after n steps, and `next_value` [P, B] is V at the stop, dropped after a termination.
    `penalty[..., d]` is tau KL of the state of step d; the first one cancels and is not read. `ends` includes `terminated`.
    """
    target = torch.zeros_like(reward[..., 0])
    alive = torch.ones_like(terminated[..., 0])
    scale = 1.0
    for d in range(reward.shape[-1]):
        gain = reward[..., d] - penalty[..., d] if d else reward[..., d]
        target = target + scale * gain * alive
        scale *= discount
        last = d + 1 == reward.shape[-1]
        stops = alive if last else alive & ends[..., d]
        target = target + scale * next_value * (stops & ~terminated[..., d])
        alive = alive & ~stops
    return target


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


def moments(advantage: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation [P, 1] of a batch of advantages [P, B]; by `var_mean`, since `std` rounds a row alone otherwise in float64."""
    variance, mean = torch.var_mean(advantage, 1, keepdim=True)
    return mean, variance.sqrt() + 1e-8
