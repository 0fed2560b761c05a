"""The recorded optimum of Pendulum, by value iteration on a coarse grid: bilinear interpolation errs to the low side, by a few points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.schema.suite import load_suite

ROOT = Path(__file__).parents[2]
ANGLES, SPEEDS, TORQUES, STEPS = 121, 97, 11, 200


def best_return() -> float:
    """Mean return of the best policy over Gymnasium's starts: angle in [-pi, pi), speed in [-1, 1]."""
    angles, speeds = np.linspace(-np.pi, np.pi, ANGLES), np.linspace(-8, 8, SPEEDS)
    angle, speed = np.meshgrid(angles, speeds, indexing="ij")
    moves = []
    for torque in np.linspace(-2, 2, TORQUES):
        after = np.clip(speed + (15 * np.sin(angle) + 3 * torque) * 0.05, -8, 8)
        to = np.mod(angle + after * 0.05 + np.pi, 2 * np.pi) / (2 * np.pi) * (ANGLES - 1)
        at = (after + 8) / 16 * (SPEEDS - 1)
        row, column = np.minimum(to.astype(int), ANGLES - 2), np.minimum(at.astype(int), SPEEDS - 2)
        reward = -(angle**2 + 0.1 * speed**2 + 0.001 * torque**2)
        moves.append((row * SPEEDS + column, to - row, at - column, reward))
    value = np.zeros((ANGLES, SPEEDS))
    for _ in range(STEPS):
        flat = value.ravel()
        value = np.max(
            [
                reward
                + (1 - across) * ((1 - up) * flat[cell] + up * flat[cell + 1])
                + across * ((1 - up) * flat[cell + SPEEDS] + up * flat[cell + SPEEDS + 1])
                for cell, across, up, reward in moves
            ],
            axis=0,
        )
    return float(value[:, np.abs(speeds) <= 1].mean())


def test_the_recorded_optimum_is_the_best_return(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    recorded, coarse = load_suite("pendulum").references["Pendulum-v1"].optimum, best_return()
    assert recorded is not None and coarse < recorded < coarse + 5
