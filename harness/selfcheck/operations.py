"""The operations that pairs share, each on small rows of random numbers: where bits depend on company, these tell which one does it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from algorithms import experience, maxent
from algorithms.divergence import Fisher, kl
from algorithms.learner import Draw, Draws, Rollout, Spaces, State
from algorithms.normalization import merge_, statistic
from algorithms.policies import Categorical, Gaussian, Head, SquashedGaussian
from algorithms.population import (
    Network,
    adam_,
    adam_state,
    clip_norm_,
    follow_,
    gradient,
    leaf,
    rmsprop_,
    rmsprop_state,
)
from algorithms.population.curvature import Tangent, conjugate_gradient
from algorithms.returns import gae, n_step, n_step_windows, v_trace

STEPS, ENVIRONMENTS, WIDTH, BATCH = 16, 4, 8, 32
VECTOR = Spaces((WIDTH,), 3)
PUSHED = Spaces((WIDTH,), 2, ((-1.0, -1.0), (1.0, 1.0)))
IMAGE = Spaces((10, 10, 4), 3, dtype="uint8")
LARGE = Spaces((36, 36, 4), 3, dtype="uint8", scale=255.0)
"""As large an image as the network of Mnih et al. (2015) needs."""


def normal(draws: Draws, role: str, *shape: int) -> Tensor:
    return draws.take(role, Draw("normal", shape))


def happens(draws: Draws, role: str, *shape: int) -> Tensor:
    """[P, *shape] of booleans, one in ten true."""
    return draws.take(role, Draw("uniform", shape)) < 0.1


def inputs(draws: Draws, spaces: Spaces, batch: int) -> Tensor:
    if spaces.dtype != "uint8":
        return normal(draws, "observation", batch, *spaces.observation)
    high = 256 if spaces.scale > 1 else 2
    return (draws.take("observation", Draw("uniform", (batch, *spaces.observation))) * high).to(torch.uint8)


def outputs(spaces: Spaces, batch: int = BATCH) -> Callable[[Draws], State]:
    """Of a network as actor and critic have it."""

    def found(draws: Draws) -> State:
        net = Network("net", spaces, (64, 64), (3, 1), "tanh")
        policy, value = net(net.initial(draws), inputs(draws, spaces, batch))
        return {"policy": policy, "value": value}

    return found


def gradients(spaces: Spaces, batch: int = BATCH) -> Callable[[Draws], State]:
    """By a network's parameters."""

    def found(draws: Draws) -> State:
        net = Network("net", spaces, (64, 64), (3, 1), "tanh")
        flat = leaf(net.initial(draws))
        policy, value = net(flat, inputs(draws, spaces, batch))
        return {"gradient": gradient(policy.square().mean((1, 2)) + value.square().mean((1, 2)), flat)}

    return found


def natural(spaces: Spaces, batch: int = BATCH) -> Callable[[Draws], State]:
    """A natural gradient, and how far a step along it leads."""

    def found(draws: Draws) -> State:
        head = Head(spaces, 3)
        net = Network("net", spaces, (64, 64), head.sizes[:1], "tanh", free=head.free)
        flat, seen = net.initial(draws), inputs(draws, spaces, batch)
        here = Tangent(net, flat, seen)
        old = head.policy(here.heads[0], net.globals(flat))
        gradient = here.gradient(normal(draws, "slopes", batch, head.outputs))
        step = conjugate_gradient(Fisher(head, old, here, 0.1), gradient, 5)
        new = head.policy(net(flat + step, seen)[0], net.globals(flat + step))
        return {"step": step, "kl": kl(old, new)}

    return found


def returns_of(draws: Draws) -> State:
    """Of a rollout and of windows."""
    reward, value, following = (normal(draws, role, STEPS, ENVIRONMENTS) for role in ("reward", "value", "following"))
    terminated, truncated = (happens(draws, role, STEPS, ENVIRONMENTS) for role in ("terminated", "truncated"))
    ends = terminated | truncated
    ratio = 0.1 * normal(draws, "ratio", STEPS, ENVIRONMENTS)
    return {
        "gae": gae(reward, value, following, terminated, truncated, 0.99, 0.95),
        "n-step": n_step(reward, following, terminated, truncated, 0.99),
        "windows": n_step_windows(reward, 0.1 * value, following[..., 0], terminated, ends, 0.99),
        "v-trace": v_trace(reward, value, following, ratio, terminated, truncated, 0.99),
    }


def rollout_of(draws: Draws) -> State:
    """Values ahead of a rollout, and its minibatches."""
    observation = normal(draws, "observation", STEPS + 1, ENVIRONMENTS, WIDTH)
    final = normal(draws, "final", 2, ENVIRONMENTS, WIDTH)
    reward = normal(draws, "reward", STEPS, ENVIRONMENTS)
    terminated = happens(draws, "terminated", STEPS, ENVIRONMENTS)
    truncated = torch.zeros_like(terminated)
    truncated[:, -1] = ~terminated[:, -1]
    rollout = Rollout(observation, final, reward, reward, terminated, truncated)
    flat = observation[:, :-1].flatten(1, 2)
    order = draws.take("order", Draw("permutation", (1, STEPS * ENVIRONMENTS)))
    parts = list(experience.minibatches(order, 3, {"observation": flat}))
    found = {f"minibatch {number}": part["observation"] for number, part in enumerate(parts)}
    ahead = experience.ahead(rollout)
    return found | {"following": experience.following(rollout, flat.sum(2), ahead.sum(2))}


def choices(draws: Draws) -> State:
    policy = Categorical(normal(draws, "logits", BATCH, 5))
    action = policy.sample(draws.take("gumbel", Draw("gumbel", (BATCH, 5))))
    return {"action": action, "log_prob": policy.log_prob(action), "entropy": policy.entropy()}


def numbers(draws: Draws) -> State:
    policy = Gaussian(normal(draws, "mean", BATCH, 3), 0.3 * normal(draws, "log_std", BATCH, 3))
    action = policy.sample(normal(draws, "noise", BATCH, 3))
    return {"action": action, "log_prob": policy.log_prob(action), "entropy": policy.entropy()}


def bounded(draws: Draws) -> State:
    action, log_prob = SquashedGaussian(normal(draws, "outputs", BATCH, 6)).sample_log_prob(
        normal(draws, "noise", BATCH, 3)
    )
    return {"action": action, "log_prob": log_prob}


def soft_values(draws: Draws) -> State:
    q, tau = normal(draws, "q", BATCH, 5), normal(draws, "tau", 1).abs()
    return {"value": maxent.soft_value(q, tau, -0.5), "penalty": maxent.penalty(q, tau, -0.5)}


def optimizers(draws: Draws) -> State:
    rate, state = normal(draws, "rate", 1).abs().squeeze(1), adam_state("adam", normal(draws, "parameters", 1000))
    state |= rmsprop_state("rms", state["adam"].clone()) | {"target": state["adam"].clone()}
    for number in range(2):
        slopes = normal(draws, f"slopes {number}", 1000)
        clip_norm_(slopes, 0.5, 2)
        adam_(state, "adam", slopes, rate)
        rmsprop_(state, "rms", slopes, rate)
        follow_(state["target"], state["adam"], 0.9)
    return state


def statistics(draws: Draws) -> State:
    state = statistic(draws, "observation", (WIDTH,))
    for number in range(2):
        merge_(state, "observation", normal(draws, f"values {number}", STEPS * ENVIRONMENTS, WIDTH))
    return state


OPERATIONS: dict[str, Callable[[Draws], State]] = {
    "perceptrons, outputs": outputs(VECTOR),
    "perceptrons, gradient": gradients(VECTOR),
    "small images, outputs": outputs(IMAGE),
    "small images, gradient": gradients(IMAGE),
    "large images, outputs": outputs(LARGE, 4),
    "large images, gradient": gradients(LARGE, 4),
    "natural gradients of choices": natural(VECTOR),
    "natural gradients of numbers": natural(PUSHED),
    "natural gradients of images": natural(IMAGE),
    "clipping, Adam, RMSProp, targets": optimizers,
    "returns and traces": returns_of,
    "rollouts and minibatches": rollout_of,
    "policies of choices": choices,
    "policies of numbers": numbers,
    "policies of bounded numbers": bounded,
    "soft values": soft_values,
    "running statistics": statistics,
}
