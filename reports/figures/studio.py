"""Figures are ordered first and drawn together: the many of a large suite on all processors."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor

from reports.figures.picture import Picture

FEW = 24
"""Figures for which a pool of processes is not worth its start."""


class Studio:
    """`order` gives a promise of a picture; after `draw` all promises are kept."""

    def __init__(self) -> None:
        self._orders: list[tuple[Future[Picture], Callable[..., Picture], tuple[object, ...]]] = []

    def order(self, make: Callable[..., Picture], *arguments: object) -> Future[Picture]:
        """A promise of `make(*arguments)`; both must be picklable."""
        promise: Future[Picture] = Future()
        self._orders.append((promise, make, arguments))
        return promise

    def draw(self) -> None:
        """Keep all promises."""
        if len(self._orders) <= FEW:
            for promise, make, arguments in self._orders:
                promise.set_result(make(*arguments))
            return
        with ProcessPoolExecutor(os.cpu_count(), mp_context=multiprocessing.get_context("fork")) as pool:
            running = [pool.submit(make, *arguments) for _, make, arguments in self._orders]
            for (promise, _, _), done in zip(self._orders, running, strict=True):
                promise.set_result(done.result())
