"""Figures are ordered first and drawn together: the many of a large suite on all processors."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor

from reports.figures import Picture

FEW = 24
"""Figures that are drawn sooner than a pool of processes has started."""


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
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["reports.cards", "reports.curves", "reports.plots"])
        with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
            running = [pool.submit(make, *arguments) for _, make, arguments in self._orders]
            for (promise, _, _), done in zip(self._orders, running, strict=True):
                promise.set_result(done.result())
