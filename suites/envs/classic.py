"""Gymnasium's four classic-control tasks, many at once.

Gymnasium steps one environment at a time in scalar Python; here one call steps `count` of them with numpy. The tasks are the same:
physics in float64 in Gymnasium's order of operations, float32 observations, its rewards, terminations, time limits, and its reset
draws. Environment i, reset with seed s, starts where `gymnasium.make(id).reset(seed=s)` starts, and its later episodes start where
`env.reset()` without a seed would start them, because each environment owns the generator that Gymnasium would give it.

An environment's numbers do not depend on how many others there are or on its place among them. For that every state variable is
one contiguous row of `state` ([variables, count]; numpy may take another code path for strided data), and no operation mixes columns.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from functools import partial
from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import ArrayLike, NDArray

from suites.envs import batched
from suites.envs.batched import BatchedEnv, Bools, Float32s

__all__ = ["BATCHED", "Acrobot", "CartPole", "ClassicEnv", "MountainCar", "Pendulum", "make"]

Float64s = NDArray[np.float64]
State = NDArray[np.floating[Any]]


def constant(value: float) -> Float64s:
    """A number as a 0-d array: numpy takes it about twice as fast as a Python float where arrays are small."""
    return np.array(value)


class ClassicEnv(BatchedEnv):
    """A task of Gymnasium's, with its spaces. A subclass adds its draws, physics and observation."""

    variables: ClassVar[int]  # rows of `state`
    start_dtype: ClassVar[type[np.floating[Any]]] = np.float64
    stock = 64  # starts drawn at a time: as many calls of a generator would give the same numbers, and take as many times as long

    def __init__(self, count: int) -> None:
        task = gymnasium.make(self.id)
        task.close()
        super().__init__(count, task.observation_space, task.action_space)
        self.state: Float64s = np.full((self.variables, count), np.nan)
        self._starts = np.empty((count, self.stock, self.variables), dtype=self.start_dtype)
        self._used: NDArray[np.intp] = np.empty(0, dtype=np.intp)

    def observations(self) -> Float32s:
        return self.observe(self.state)

    def seed(self, generators: list[np.random.Generator]) -> None:
        super().seed(generators)
        self._used = np.full(self.count, self.stock)

    def restart(self, which: NDArray[np.intp]) -> Float32s:
        for index in which[self._used[which] == self.stock]:
            self._starts[index] = self.draw(self.generators[index], self.stock)
            self._used[index] = 0
        starts = np.ascontiguousarray(self._starts[which, self._used[which]].T)
        self._used[which] += 1
        self.state[:, which] = starts
        return self.observe(starts)

    @abstractmethod
    def draw(self, generator: np.random.Generator, count: int) -> ArrayLike:
        """The states in which the next `count` episodes start [count, variables], with the numbers of as many of Gymnasium's calls."""

    @abstractmethod
    def observe(self, state: State) -> Float32s:
        """Observations [M, D] of states [variables, M]."""


class CartPole(ClassicEnv):
    """Balance a pole on a cart (Gymnasium CartPole-v1; Barto, Sutton and Anderson 1983; frictionless, Florian 2007, Eqs. 23 and 24).

    State: cart position [m] and velocity, pole angle [rad] and velocity. One Euler step of 0.02 s. Reward 1 a step, the last included.
    """

    id = "CartPole-v1"
    limit = 500
    variables = 4

    forces = np.array([-10.0, 10.0])  # N, by action
    time_step = constant(0.02)  # s
    gravity = constant(9.8)
    total_mass = constant(0.1 + 1.0)  # pole + cart
    pole_mass = constant(0.1)
    half_length = constant(0.5)
    pole_moment = constant(0.1 * 0.5)  # pole mass x half length
    four_thirds = constant(4.0 / 3.0)
    bounds = np.array([[2.4], [12 * 2 * math.pi / 360]])  # of position and angle

    def draw(self, generator: np.random.Generator, count: int) -> ArrayLike:
        return generator.uniform(low=-0.05, high=0.05, size=(count, 4))

    def advance(self, actions: ArrayLike) -> tuple[Float32s, Bools]:
        force = self.forces.take(self._checked(actions))
        _, _, angle, spin = self.state
        cosine, sine = np.cos(angle), np.sin(angle)
        push = (force + self.pole_moment * (spin * spin) * sine) / self.total_mass
        inertia = self.half_length * (self.four_thirds - self.pole_mass * (cosine * cosine) / self.total_mass)
        change = np.empty_like(self.state)
        change[0::2] = self.state[1::2]
        change[3] = (self.gravity * sine - cosine * push) / inertia
        change[1] = push - self.pole_moment * change[3] * cosine / self.total_mass
        self.state += self.time_step * change
        outside = np.abs(self.state[0::2]) > self.bounds
        return np.ones(self.count, dtype=np.float32), outside[0] | outside[1]

    def observe(self, state: State) -> Float32s:
        return state.T.astype(np.float32, order="C")


class MountainCar(ClassicEnv):
    """Rock an underpowered car out of a valley (Gymnasium MountainCar-v0; Moore 1990).

    State: position and velocity. Reward -1 a step. The left wall stops the car; the goal is position 0.5 with velocity at least 0.
    """

    id = "MountainCar-v0"
    limit = 200
    variables = 2

    pushes = np.array([-1, 0, 1]) * 0.001  # velocity gained in a step, by action
    slope = constant(-0.0025)
    three = constant(3.0)
    zero = constant(0.0)
    left, right, goal = constant(-1.2), constant(0.6), constant(0.5)
    slowest, fastest = constant(-0.07), constant(0.07)

    def draw(self, generator: np.random.Generator, count: int) -> ArrayLike:
        return np.stack([generator.uniform(low=-0.6, high=-0.4, size=count), np.zeros(count)], 1)

    def advance(self, actions: ArrayLike) -> tuple[Float32s, Bools]:
        push = self.pushes.take(self._checked(actions))
        position, velocity = self.state
        velocity += push + np.cos(self.three * position) * self.slope
        np.maximum(velocity, self.slowest, out=velocity)
        np.minimum(velocity, self.fastest, out=velocity)
        position += velocity
        np.maximum(position, self.left, out=position)
        np.minimum(position, self.right, out=position)
        np.maximum(velocity, self.zero, out=velocity, where=position == self.left)
        terminated = (position >= self.goal) & (velocity >= self.zero)
        return np.full(self.count, -1.0, dtype=np.float32), terminated

    def observe(self, state: State) -> Float32s:
        return state.T.astype(np.float32, order="C")


class Acrobot(ClassicEnv):
    """Swing a two-link robot's tip above a height (Gymnasium Acrobot-v1; Sutton 1996; the book's dynamics, Sutton and Barto 1998).

    State: angle of link 1 (0 hangs down), angle of link 2 relative to it, and their velocities. One Runge-Kutta step of 0.2 s.
    Links of mass 1, length 1, moment of inertia 1 and center of mass 0.5; factors of 1 are left out of the equations.
    Reward -1 a step and 0 at the goal. Gymnasium rounds the start to float32, and computes its observation in float32.
    """

    id = "Acrobot-v1"
    limit = 500
    variables = 4
    start_dtype = np.float32

    torques = np.array([-1.0, 0.0, 1.0])
    half, quarter, one, two, five_quarters = (constant(value) for value in (0.5, 0.25, 1.0, 2.0, 1.25))
    quarter_turn, half_turn, turn = constant(np.pi / 2), constant(np.pi), constant(2 * np.pi)
    weight_1 = constant((0.5 + 1.0) * 9.8)
    weight_2 = constant(0.5 * 9.8)
    step_half, step_whole, step_sixth = constant(0.2 / 2.0), constant(0.2), constant(0.2 / 6.0)
    fastest = np.array([[4 * np.pi], [9 * np.pi]])
    slowest = -fastest

    def draw(self, generator: np.random.Generator, count: int) -> ArrayLike:
        return generator.uniform(low=-0.1, high=0.1, size=(count, 4))

    def derivative(self, state: Float64s, torque: Float64s) -> Float64s:
        """Time derivative of the state: the velocities, then the accelerations."""
        angle_1, angle_2, spin_1, spin_2 = state
        cosine, sine = np.cos(angle_2), np.sin(angle_2)
        d1 = self.quarter + (self.five_quarters + cosine) + self.one + self.one
        d2 = self.quarter + self.half * cosine + self.one
        half_sine = self.half * sine
        phi2 = self.weight_2 * np.cos(angle_1 + angle_2 - self.quarter_turn)
        phi1 = (
            self.weight_1 * np.cos(angle_1 - self.quarter_turn)
            - (spin_2 * spin_2 * half_sine + spin_2 * spin_1 * sine)
            + phi2
        )
        change = np.empty_like(state)
        change[:2] = state[2:]
        change[3] = (torque + d2 / d1 * phi1 - spin_1 * spin_1 * half_sine - phi2) / (self.five_quarters - d2 * d2 / d1)
        change[2] = -(d2 * change[3] + phi1) / d1
        return change

    def advance(self, actions: ArrayLike) -> tuple[Float32s, Bools]:
        torque = self.torques.take(self._checked(actions))
        state = self.state
        k1 = self.derivative(state, torque)
        k2 = self.derivative(state + self.step_half * k1, torque)
        k3 = self.derivative(state + self.step_half * k2, torque)
        k4 = self.derivative(state + self.step_whole * k3, torque)
        state += self.step_sixth * (k1 + self.two * k2 + self.two * k3 + k4)
        angles, spins = state[:2], state[2:]
        while (beyond := np.abs(angles) > self.half_turn).any():
            np.subtract(angles, np.copysign(self.turn, angles), out=angles, where=beyond)
        np.maximum(spins, self.slowest, out=spins)
        np.minimum(spins, self.fastest, out=spins)
        terminated = -np.cos(angles[0]) - np.cos(angles[1] + angles[0]) > self.one
        return terminated.astype(np.float32) - np.float32(1.0), terminated

    def observe(self, state: State) -> Float32s:
        rows = np.empty((6, state.shape[1]), dtype=state.dtype)
        np.cos(state[:2], out=rows[0:4:2])
        np.sin(state[:2], out=rows[1:4:2])
        rows[4:] = state[2:]
        return rows.T.astype(np.float32, order="C")


class Pendulum(ClassicEnv):
    """Swing a pendulum up and hold it there (Gymnasium Pendulum-v1; g = 10, length 1, mass 1).

    State: angle [rad], 0 upright and never wrapped, and velocity. The torque, clipped to [-2, 2], and its cost are float32.
    Reward: -(angle^2 + 0.1 velocity^2 + 0.001 torque^2) of the state before the step, its angle normalized to [-pi, pi). Never terminates.
    """

    id = "Pendulum-v1"
    limit = 200
    variables = 2

    highest = np.array([math.pi, 1.0])  # of the start
    torque_low, torque_high = np.array(-2.0, dtype=np.float32), np.array(2.0, dtype=np.float32)
    torque_gain, torque_cost = np.array(3.0, dtype=np.float32), np.array(0.001, dtype=np.float32)
    weight, spin_cost, time_step = constant(15.0), constant(0.1), constant(0.05)
    half_turn, turn = constant(np.pi), constant(2 * np.pi)
    slowest, fastest = constant(-8.0), constant(8.0)

    def draw(self, generator: np.random.Generator, count: int) -> ArrayLike:
        return generator.uniform(low=-self.highest, high=self.highest, size=(count, 2))

    def advance(self, actions: ArrayLike) -> tuple[Float32s, Bools]:
        torque = self._checked(actions, np.float32).reshape(self.count)
        torque = np.minimum(np.maximum(torque, self.torque_low), self.torque_high)
        angle, spin = self.state
        tilt = np.remainder(angle + self.half_turn, self.turn) - self.half_turn
        cost = tilt * tilt + self.spin_cost * (spin * spin) + self.torque_cost * (torque * torque)
        spin += (self.weight * np.sin(angle) + self.torque_gain * torque) * self.time_step
        np.maximum(spin, self.slowest, out=spin)
        np.minimum(spin, self.fastest, out=spin)
        angle += spin * self.time_step
        return (-cost).astype(np.float32), np.zeros(self.count, dtype=np.bool_)

    def observe(self, state: State) -> Float32s:
        angle, spin = state
        obs = np.empty((len(angle), 3), dtype=np.float32)
        obs[:, 0] = np.cos(angle)
        obs[:, 1] = np.sin(angle)
        obs[:, 2] = spin
        return obs


BATCHED: dict[str, type[ClassicEnv]] = {task.id: task for task in (CartPole, Acrobot, MountainCar, Pendulum)}
make = partial(batched.make, BATCHED)
