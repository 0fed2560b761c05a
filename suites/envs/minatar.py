"""Two games of MinAtar, many at once (Young and Tian 2019, arXiv:1903.03176; `MinAtar/...-v1` of the package `minatar` 1.0.15).

The package plays one game at a time in scalar Python; here one call plays `count` of them with numpy, mostly by looking up what follows.
Given the same draws the games are the package's, step by step: observations, rewards, ends, sticky actions, difficulty ramping. Every
step of an environment has a row of uniform draws, used or not, the first for whether the last action sticks; so a game differs from the
package's with the same seed, not in distribution. As in the package, the last action sticks beyond the end of an episode too.

The package has no time limit, and a good player of Breakout plays on and on. Here an episode is truncated after 1000 steps, as gymnax ends
it (`max_steps_in_episode`); Asterix is at its full difficulty by then, and a player who always heads for where the ball comes down breaks
79 bricks on average. Sources that train with the package itself mostly have no limit.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import ClassVar

import gymnasium
import numpy as np
from numpy.typing import ArrayLike, NDArray

from suites.envs import batched
from suites.envs.batched import BatchedEnv, Bools, Float32s

__all__ = ["BATCHED", "Asterix", "Breakout", "MinAtar", "make"]

Images = NDArray[np.uint8]
Integers = NDArray[np.int64]
Indices = NDArray[np.intp]

CHANNELS = 4
SHAPE = (10, 10, CHANNELS)  # rows, columns
ROW = 10 * CHANNELS  # numbers of a row in an image
SIZE = 10 * ROW
ACROSS = np.array([0, -1, 0, 1, 0, 0])  # columns that none, left, up, right, down and fire move the player
DOWN = np.array([0, 0, -1, 0, 1, 0])  # rows that they move it
STICKY = np.array(0.1)  # probability that the last action is taken once more
BLOCK = 128  # steps whose draws are made together: no number depends on it


class MinAtar(BatchedEnv):
    """A game on 10 x 10 cells. Observations [N, 10, 10, 4] (row, column, channel) of 0 and 1; the actions are those that matter to it."""

    limit = 1000
    actions: ClassVar[tuple[int, ...]]  # which of the package's six are offered, in its order
    draws: ClassVar[int]  # uniform numbers a step

    def __init__(self, count: int) -> None:
        spaces = gymnasium.spaces
        super().__init__(count, spaces.Box(0, 1, SHAPE, np.uint8), spaces.Discrete(len(self.actions)))
        self.across, self.down = ACROSS.take(self.actions), DOWN.take(self.actions)
        self.last: Integers = np.zeros(count, dtype=np.int64)
        self.origins: Indices = np.arange(count) * SIZE  # where an environment's image starts among those of all
        self._blocks = np.empty((count, BLOCK, self.draws))

    def seed(self, generators: list[np.random.Generator]) -> None:
        super().seed(generators)
        self.last[:] = 0
        self._used = BLOCK
        self._turn()

    def advance(self, actions: ArrayLike) -> tuple[Float32s, Bools]:
        chosen = self._checked(actions)
        self.across.take(chosen)  # refuses what is no action
        self._turn()
        self.last = np.where(self.drawn[0] < STICKY, self.last, chosen)
        return self.play(self.last)

    def _turn(self) -> None:
        """Go on to the draws [draws, N] of the next step."""
        if self._used == BLOCK:
            for generator, block in zip(self.generators, self._blocks, strict=True):
                generator.random(out=block)
            self._rows = np.ascontiguousarray(self._blocks.transpose(1, 2, 0))
            self._used = 0
        self.drawn = self._rows[self._used]
        self._used += 1

    @abstractmethod
    def play(self, action: Integers) -> tuple[Float32s, Bools]:
        """The rules: one step with the actions that are taken [N]; return reward and termination."""


def moved(place: Integers, by: Integers, least: int, most: int) -> Integers:
    """The player's row or column after a step, within these bounds."""
    place = np.maximum(place + by, least)
    return np.minimum(place, most, out=place)


class Breakout(MinAtar):
    """Keep a ball in play with a paddle and break three rows of bricks with it: reward 1 a brick, the end when the ball gets past.

    The ball flies one cell diagonally a step. Walls and the roof turn it, and so does a brick, which breaks; but a ball that met a brick
    one step ago flies through the next. The paddle sends the ball up from below it, and back the way it came from where it would land.
    New bricks come when the ball is at the paddle and none is left. Channels: paddle, ball, trail (the ball one step ago), bricks.

    A ball is a number below 400: the place of its cell in an image, plus 2 if it flies down and 1 if it flies right.
    """

    id = "MinAtar/Breakout-v1"
    actions = (0, 1, 3)
    draws = 2  # sticking, the side on which the ball starts

    bottom = 9 * ROW  # the first place of the paddle's row
    # Balls with which an episode starts, at the left and the right wall.
    serves = np.array([3 * ROW + 3, 4 * ROW - CHANNELS + 2])
    wall = np.zeros(SHAPE, dtype=np.uint8)
    wall[1:4, :, 3] = 1

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.paddle, self.ball, self.trail, self.left = (np.zeros(count, dtype=np.int64) for _ in range(4))
        self.struck = np.zeros(count, dtype=np.uint8)  # 1 where the ball met a brick one step ago
        self.bricks: Images = np.zeros((count, *SHAPE), dtype=np.uint8)
        self.targets, self.flights = self.tables()

    @staticmethod
    def tables() -> tuple[Integers, Integers]:
        """The place of the brick into which a ball flies [400], and the ball that follows [400 x 10 x 2, flat].

        What follows depends on the ball, the paddle's column and whether a brick breaks. A ball that the paddle misses ends at the bottom.
        """
        row, column, down, right, paddle, breaks = np.indices((10, 10, 2, 2, 10, 2))
        to_row, to_column = row + 2 * down - 1, np.clip(column + 2 * right - 1, 0, 9)
        below = (to_row == 9) & (column == paddle)
        aside = (to_row == 9) & (to_column == paddle) & ~below
        upset = (to_row < 0) | (breaks == 1) | below | aside
        turned = (to_column == column) | aside
        to_row = np.clip(to_row, 0, 9)
        targets = (to_row * 10 + to_column) * CHANNELS + 3
        follows = (np.where(upset, row, to_row) * 10 + to_column) * CHANNELS + 2 * (down ^ upset) + (right ^ turned)
        return targets[..., 0, 0].ravel(), follows.ravel()

    def restart(self, which: Indices) -> Images:
        serve = self.serves.take((self.drawn[1, which] * 2).astype(np.intp))
        self.paddle[which] = 4
        self.ball[which] = self.trail[which] = serve
        self.struck[which] = 0
        self.left[which] = 30
        self.bricks[which] = self.wall
        return self.observations()[which]

    def play(self, action: Integers) -> tuple[Float32s, Bools]:
        bricks = self.bricks.reshape(-1)
        self.paddle = moved(self.paddle, self.across.take(action), 0, 9)
        target = self.targets.take(self.ball)
        met = bricks.take(target + self.origins)
        breaks = met > self.struck
        cleared = (target >= self.bottom) & (self.left == 0)
        self.trail, self.struck = self.ball, met
        self.ball = self.flights.take(self.ball * 20 + self.paddle * 2 + breaks)
        if breaks.any():
            bricks[(target + self.origins)[breaks]] = 0
            self.left -= breaks
        if cleared.any():
            self.bricks[cleared] = self.wall
            self.left[cleared] = 30
        return breaks.astype(np.float32), self.ball >= self.bottom

    def observations(self) -> Images:
        images = self.bricks.copy()
        flat = images.reshape(-1)
        flat[self.origins + self.bottom + self.paddle * CHANNELS] = 1
        flat[self.origins + (self.ball & -CHANNELS) + 1] = 1
        flat[self.origins + (self.trail & -CHANNELS) + 2] = 1
        return images


class Asterix(MinAtar):
    """Collect treasure and keep away from enemies, which cross the field in rows: reward 1 a treasure, the end at an enemy's touch.

    One thing at most is in each of the rows 1 to 8, and the player stays within them. Things come in and move on more often as an episode
    grows older, up to every step each. Channels: player, enemy, trail (the cell behind a thing), treasure.

    A thing is a number: 0 for none, else 1 plus 4 x its column, plus 2 if it moves right and 1 if it is treasure.
    """

    id = "MinAtar/Asterix-v1"
    actions = (0, 1, 2, 3, 4)
    draws = 4  # sticking, a new thing's side, its kind, its row

    start = 5  # row and column of the player
    known = 1024  # steps after which things come and move at every step

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.row, self.column = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
        self.things: Integers = np.zeros((count, 10), dtype=np.int64)
        self.rows: Indices = np.arange(count) * 10  # where an environment's things start among those of all
        self.columns, self.treasure, self.follows, self.lines = self.tables()
        self.comes, self.moves = self.schedule()

    @staticmethod
    def tables() -> tuple[Integers, Bools, Integers, Images]:
        """By thing: its column [41], whether it is treasure [41], the thing that it moves on to [41], and its row's image [41, 10, 4]."""
        thing = np.arange(40)
        column, right, treasure = thing // 4, thing // 2 % 2, thing % 2
        ahead, behind = column + 2 * right - 1, column - 2 * right + 1
        follows = np.where((ahead >= 0) & (ahead <= 9), 1 + 4 * ahead + 2 * right + treasure, 0)
        lines = np.zeros((41, 10, CHANNELS), dtype=np.uint8)
        lines[1 + thing, column, np.where(treasure, 3, 1)] = 1
        trail = (behind >= 0) & (behind <= 9)
        lines[1 + thing[trail], behind[trail], 2] = 1
        none = [0]
        return np.r_[-1, column], np.r_[none, treasure] == 1, np.r_[none, follows], lines

    @classmethod
    def schedule(cls) -> tuple[Bools, Bools]:
        """Whether a thing comes, and whether things move, at each step of an episode [known].

        First every 10 and 5 steps. Every 102 steps the one interval shrinks by 1, and every other time the other one too.
        """
        coming, moving = np.zeros((2, cls.known), dtype=np.bool_)
        every, often = 10, 5
        comes, moves = every, often
        for step in range(cls.known):
            if step == comes:
                coming[step] = True
                comes += every
            if step == moves:
                moving[step] = True
                moves += often
            shrinks, rest = divmod(step, 102)
            if rest == 101:
                every = max(every - 1, 1)
                often = max(often - shrinks % 2, 1)
        return coming, moving

    def restart(self, which: Indices) -> Images:
        self.row[which] = self.column[which] = self.start
        self.things[which] = 0
        return self.observations()[which]

    def play(self, action: Integers) -> tuple[Float32s, Bools]:
        age = np.minimum(self.elapsed, self.known - 1)
        arrivals = np.flatnonzero(self.comes.take(age))
        if len(arrivals):
            self.arrive(arrivals)
        self.row = moved(self.row, self.down.take(action), 1, 8)
        self.column = moved(self.column, self.across.take(action), 0, 9)
        collected, caught = self.touch()
        moving = np.flatnonzero(self.moves.take(age))
        if len(moving):
            self.things[moving] = self.follows.take(self.things[moving])
            again, also = self.touch()
            collected, caught = collected | again, caught | also
        return collected.astype(np.float32), caught

    def arrive(self, which: Indices) -> None:
        """A new thing at one side of a row that is free, if one is."""
        _, side, kind, place = self.drawn[:, which]
        free = (self.things[which, 1:9] == 0).cumsum(axis=1)
        chosen = (place * free[:, -1]).astype(np.intp)
        room = np.flatnonzero(free[:, -1])
        row = 1 + (free[room] > chosen[room, None]).argmax(axis=1)
        from_left, treasure = side[room] < 1 / 2, kind[room] < 1 / 3
        self.things[which[room], row] = np.where(from_left, 3, 1 + 4 * 9) + treasure

    def touch(self) -> tuple[Bools, Bools]:
        """Where the player collects a treasure, which goes, and where an enemy catches it."""
        things = self.things.reshape(-1)
        place = self.rows + self.row
        thing = things.take(place)
        touched = self.columns.take(thing) == self.column
        collected = touched & self.treasure.take(thing)
        things[place[collected]] = 0
        return collected, touched & ~collected

    def observations(self) -> Images:
        images = self.lines.take(self.things, axis=0)
        images.reshape(-1)[self.origins + self.row * ROW + self.column * CHANNELS] = 1
        return images


BATCHED: dict[str, type[MinAtar]] = {task.id: task for task in (Breakout, Asterix)}
make = partial(batched.make, BATCHED)
