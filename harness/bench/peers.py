"""What `softbench bench` times beside a cohort: its environments alone, matrix products, and a peer.

A peer does the work of one member with the pair's own settings, in one process: a well-known library, or plain torch (`plain.py`). Where
the library has no counterpart of a soft arm, its hard algorithm is timed: the cost is about the same.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import gymnasium
import numpy as np
import torch

from harness.errors import InputError, suggestion
from harness.run.environments import make, spaces
from harness.run.spec import Spec, make_learner

Work = Callable[[int], None]
"""Do so many iterations (rollout and update)."""
Network = dict[str, Any]
"""A model's policy_kwargs that say of what networks it is made."""


def check(peer: str, pair: str, observation: tuple[int, ...]) -> None:
    """Raises InputError for an unknown peer, one that is not installed, or one without this pair's algorithm or its networks."""
    if peer not in PACKAGES:
        raise InputError(f"unknown peer {peer!r}{suggestion(peer, PACKAGES)}")
    if pair not in PACKAGES[peer]:
        known = ", ".join(sorted(PACKAGES[peer]))
        raise InputError(f"peer {peer!r}: has no algorithm for pair {pair!r}. Known: {known}")
    needed = PACKAGES[peer][pair]
    if importlib.util.find_spec(needed.replace("-", "_")) is None:
        raise InputError(f"peer {peer!r}: {needed} is not installed; pip install -e '.[{peer}]'")
    if len(observation) != 1:
        raise InputError(f"peer {peer!r}: is timed on flat observations alone; these are {observation}")


def peer_version(peer: str, pair: str) -> str:
    return version(PACKAGES[peer][pair])


def environment_work(spec: Spec, members: int) -> tuple[Work, int]:
    """As many environments as the members have, with random actions drawn beforehand; an iteration is one step of each."""
    offered = spaces(spec.task, spec.backend)
    count = members * make_learner(spec, offered).settings.environments
    vector = make(spec.task, spec.backend, count)
    vector.reset(list(range(count)))
    generator = np.random.default_rng(0)
    actions: np.ndarray = generator.integers(offered.actions, size=(256, count))
    if offered.bounds is not None:
        low, high = np.clip(offered.bounds, -1, 1)
        actions = generator.uniform(low, high, (256, count, offered.actions)).astype(np.float32)

    def work(iterations: int) -> None:
        for index in range(iterations):
            vector.step(actions[index % 256])

    return work, count


def matmul_work(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[Work, int]:
    """float32 products of two batches of matrices: an iteration is one product; FLOPs an iteration (2 a multiply-add)."""
    generator = np.random.default_rng(0)
    a, b = (generator.standard_normal(shape, dtype=np.float32) for shape in (left, right))
    out = np.empty((*left[:-1], right[-1]), np.float32)

    def work(iterations: int) -> None:
        for _ in range(iterations):
            np.matmul(a, b, out=out)

    return work, 2 * math.prod(left) * right[-1]


def sb3_work(spec: Spec) -> tuple[Work, int]:
    """Training with Stable-Baselines3, one seed; environment steps an iteration.

    Its plain vector environment over Gymnasium's own environments, no monitor, no logger output, on the CPU.
    """
    from stable_baselines3.common.vec_env import DummyVecEnv

    learner = make_learner(spec, spaces(spec.task, spec.backend))
    settings = learner.settings
    quantum = settings.horizon * settings.environments
    vector = DummyVecEnv([lambda: gymnasium.make(spec.task)] * settings.environments)
    # Its defaults are ours: separate networks, PPO's with tanh and orthogonal weights.
    network = {"net_arch": list(settings.hidden)}
    model = MODELS[spec.pair](vector, settings, learner, network, 0)

    def work(iterations: int) -> None:
        model.learn(total_timesteps=iterations * quantum, reset_num_timesteps=False, log_interval=None)

    return work, quantum


def ppo(vector: Any, s: Any, learner: Any, network: Network, seed: int) -> Any:
    """PPO. Its value loss lacks the factor 1/2 of CleanRL and of ours, so the coefficient takes it."""
    from stable_baselines3 import PPO

    return PPO(
        "MlpPolicy",
        vector,
        n_steps=s.horizon,
        batch_size=s.horizon * s.environments // s.minibatches,
        n_epochs=s.epochs,
        learning_rate=s.learning_rate,
        gamma=s.discount,
        gae_lambda=s.gae_lambda,
        clip_range=s.clip,
        ent_coef=s.temperature if learner.bonus else 0.0,
        vf_coef=s.value_coefficient / 2,
        max_grad_norm=s.max_gradient_norm,
        policy_kwargs=network,
        device="cpu",
        seed=seed,
    )


def a2c(vector: Any, s: Any, learner: Any, network: Network, seed: int) -> Any:
    """A2C with RMSProp and n-step returns (trace 1). For impala, whose first arm has no bonus, too."""
    from stable_baselines3 import A2C

    optimizer = {
        "optimizer_class": torch.optim.RMSprop,
        "optimizer_kwargs": {"alpha": 0.99, "eps": 1e-5},
    }
    return A2C(
        "MlpPolicy",
        vector,
        n_steps=s.horizon,
        learning_rate=s.learning_rate,
        gamma=s.discount,
        gae_lambda=1.0,
        ent_coef=s.temperature if getattr(learner, "bonus", True) else 0.0,
        vf_coef=s.value_coefficient / 2,
        max_grad_norm=s.max_gradient_norm,
        policy_kwargs={**network, **optimizer},
        device="cpu",
        seed=seed,
    )


def reinforce(vector: Any, s: Any, learner: Any, network: Network, seed: int) -> Any:
    """A2C with Adam and trace 1 is PG with a baseline; but it clips the gradients of actor and baseline together."""
    from stable_baselines3 import A2C

    return A2C(
        "MlpPolicy",
        vector,
        n_steps=s.horizon,
        learning_rate=s.learning_rate,
        gamma=s.discount,
        gae_lambda=1.0,
        ent_coef=s.temperature if learner.bonus else 0.0,
        vf_coef=s.value_coefficient / 2,
        max_grad_norm=s.max_gradient_norm,
        use_rms_prop=False,
        policy_kwargs={**network, "optimizer_kwargs": {"eps": 1e-8}},
        device="cpu",
        seed=seed,
    )


def dqn(vector: Any, s: Any, learner: Any, network: Network, seed: int) -> Any:
    """DQN. It always clips the gradient; an infinite limit leaves it as it is."""
    from stable_baselines3 import DQN

    return DQN(
        "MlpPolicy",
        vector,
        learning_rate=s.learning_rate,
        buffer_size=s.replay_size,
        learning_starts=s.learning_starts,
        batch_size=s.batch,
        gamma=s.discount,
        train_freq=s.horizon,
        gradient_steps=1,
        n_steps=learner.steps,
        target_update_interval=s.target_period,
        exploration_fraction=s.exploration_fraction,
        exploration_initial_eps=s.exploration_start,
        exploration_final_eps=s.exploration_end,
        max_grad_norm=math.inf,
        policy_kwargs=network,
        device="cpu",
        seed=seed,
    )


def ddpg(vector: Any, s: Any, learner: Any, network: Network, seed: int) -> Any:
    """DDPG, or SAC for arms with a stochastic policy, which always has twin critics and entropy. One rate serves all its networks."""
    from stable_baselines3 import DDPG, SAC
    from stable_baselines3.common.noise import NormalActionNoise, VectorizedActionNoise

    count, numbers = vector.num_envs, vector.action_space.shape
    noise = VectorizedActionNoise(NormalActionNoise(np.zeros(numbers), np.full(numbers, s.exploration)), count)
    own: dict[str, Any] = {"ent_coef": "auto" if learner.learned else s.temperature} if learner.stochastic else {}
    return (SAC if learner.stochastic else DDPG)(
        "MlpPolicy",
        vector,
        learning_rate=s.critic_rate,
        buffer_size=s.replay_size,
        learning_starts=s.learning_starts,
        batch_size=s.batch,
        tau=1 - s.keep,
        gamma=s.discount,
        train_freq=s.horizon,
        gradient_steps=s.updates,
        action_noise=None if learner.stochastic else noise,
        policy_kwargs=network,
        device="cpu",
        seed=seed,
        **own,
    )


def trpo(vector: Any, s: Any, learner: Any, network: Network, seed: int) -> Any:
    """TRPO of sb3-contrib, for npg as well, which saves the line search alone. It has no entropy."""
    from sb3_contrib import TRPO

    return TRPO(
        "MlpPolicy",
        vector,
        n_steps=s.horizon,
        batch_size=s.horizon * s.environments // s.minibatches,
        learning_rate=s.learning_rate,
        gamma=s.discount,
        gae_lambda=s.gae_lambda,
        cg_max_steps=s.cg_steps,
        cg_damping=s.damping,
        line_search_shrinking_factor=s.shrink,
        line_search_max_iter=s.tries,
        n_critic_updates=s.epochs,
        target_kl=s.target_kl,
        policy_kwargs=network,
        device="cpu",
        seed=seed,
    )


MODELS: dict[str, Callable[[Any, Any, Any, Network, int], Any]] = {
    "ppo": ppo,
    "a2c": a2c,
    "dqn": dqn,
    "reinforce": reinforce,
    "a3c": a2c,
    "pgql": a2c,
    "impala": a2c,
    "ddpg": ddpg,
    "trpo": trpo,
}
"""Pair -> Stable-Baselines3's or sb3-contrib's model, from (environments, settings, our learner, network, seed)."""

PACKAGES: dict[str, dict[str, str]] = {
    "sb3": {**dict.fromkeys(MODELS, "stable-baselines3"), "trpo": "sb3-contrib"},
    "torch": {"ddpg": "torch"},
}
"""Peer -> pair -> the distribution that has its algorithm."""
