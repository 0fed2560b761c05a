"""Plain DQN of one Q, or of the lower of two, on Gymnasium's Acrobot: is it the second Q that keeps SQN from the goal? No test: minutes.

    python tests/suites/reference_twin.py NETWORKS SEED

The settings are pair dqn's own, but for a replay of all 100,000 steps and learning from the first 1,000 on; nothing of ours is used.
Every 20,000 steps it prints the mean return of the last ten training episodes. With one network seed 0 had -85 at the end, with two -500
throughout; so had 2 more seeds of an earlier version with other draws (-103 and -115 with one network, -500 with two).
"""

import sys

import gymnasium
import numpy as np
import torch
from torch import nn

STEPS, STARTS, EVERY, COPY = 100_000, 1_000, 10, 500


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 3))


def least(networks: list[nn.Module], observation: torch.Tensor) -> torch.Tensor:
    return torch.stack([each(observation) for each in networks]).amin(0)


def main(count: int, seed: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    draw = np.random.default_rng(seed)
    task = gymnasium.make("Acrobot-v1")
    q, frozen = ([network() for _ in range(count)] for _ in range(2))
    optimizers = [torch.optim.Adam(each.parameters(), lr=2.5e-4) for each in q]
    seen, led = np.zeros((2, STEPS, 6), np.float32)
    action, reward, going = np.zeros(STEPS, np.int64), np.zeros(STEPS, np.float32), np.zeros(STEPS, np.float32)
    (now, _), total, returns = task.reset(seed=seed), 0.0, []
    for t in range(STEPS):
        if t % COPY == 0:
            for mine, its in zip(frozen, q, strict=True):
                mine.load_state_dict(its.state_dict())
        if draw.random() < max(0.05, 1 - 0.95 * t / (STEPS / 2)):
            action[t] = draw.integers(3)
        else:
            with torch.no_grad():
                action[t] = int(least(q, torch.from_numpy(now)[None]).argmax())
        then, paid, ended, cut, _ = task.step(action[t])
        seen[t], led[t], reward[t], going[t] = now, then, paid, not ended
        now, total = then, total + float(paid)
        if ended or cut:
            returns.append(total)
            (now, _), total = task.reset(), 0.0
        if t >= STARTS and t % EVERY == 0:
            rows = draw.integers(t + 1, size=128)
            s, after, pay, on, taken = map(
                torch.from_numpy, (seen[rows], led[rows], reward[rows], going[rows], action[rows])
            )
            with torch.no_grad():
                target = pay + 0.99 * least(frozen, after).amax(1) * on
            for each, optimizer in zip(q, optimizers, strict=True):
                optimizer.zero_grad()
                (each(s).gather(1, taken[:, None])[:, 0] - target).square().mean().backward()
                optimizer.step()
        if (t + 1) % 20_000 == 0:
            print(f"{count} networks, seed {seed}, {t + 1:,} steps: {np.mean(returns[-10:]):.0f}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
