"""What a kind of network must give: products of all members, forward and backward, by numpy on the CPU, and the same by torch elsewhere."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor

from algorithms.population.rows import Array


class Engine(Protocol):
    """Networks of one shape. Every matrix [inputs + 1, outputs] has the bias as its last row."""

    nets: int
    """Networks a member."""
    shapes: list[tuple[int, int]]
    """Of one network's matrices, in their order in its row."""

    def forward(self, matrices: list[Array], inputs: Array, keep: bool) -> tuple[Array, Any]:
        """Outputs [P, nets, B, out] of inputs [P, B, *shape], the same for all nets of a member; and, where `keep`, what `backward` needs.

        `matrices`: [P, nets, inputs + 1, outputs].
        """
        ...

    def backward(
        self, matrices: list[Array], saved: Any, gradient: Array, into: list[Array], by_inputs: bool
    ) -> Array | None:
        """Write the gradient of all matrices into `into`, given that of the outputs (which is left as it is).

        Returns that of the inputs [P, B, *shape], summed over nets, where `by_inputs`. `saved` can be used once.
        """
        ...

    def plain(self, matrices: list[Tensor], inputs: Tensor) -> Tensor:
        """The outputs by torch alone: on any device, with derivatives of any order."""
        ...
