"""A policy as a graph of tensors, and that as an ONNX file: observations as the task gives them in, actions as it takes them out.

The graph is what `behaviour` computes, followed call by call, with torch's plain operations in place of numpy's, as on other devices. So it
is the same for every pair, a user's own as well, and whatever stands between observation and action (normalization, the scale of images,
the stretch to the bounds) is inside.
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from algorithms.policies import Categorical, Gaussian, SquashedGaussian
from algorithms.population import networks
from harness.errors import InputError
from harness.files import replacing
from harness.plan.pairs import told
from harness.policy.policy import Policy

PARAMETERS: dict[type[Any], tuple[str, ...]] = {
    Categorical: ("logits",),
    Gaussian: ("mean", "log_std"),
    SquashedGaussian: ("mean", "log_std"),
}
"""Kind of policy -> its distribution's parameters; of a squashed one those of the number before tanh."""
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


class Acting(torch.nn.Module):
    """Greedy acting: observation [N, *shape] (and noise [N, *exploration], where the pair's greedy action needs it) -> `outputs`.

    These are `action` [N] or [N, A], and what it was chosen by, where that can be told: `logits`, `values` (of a pair that acts by values)
    or `mean` and `log_std`.
    """

    low: Tensor
    high: Tensor

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.policy, self.outputs = policy, ["action"]
        self.names = {f"state_{name.replace('.', '_')}": name for name in policy.read}
        for place, name in self.names.items():
            self.register_buffer(place, policy.state[name])
        if policy.spaces.bounds is not None:
            for place, bound in zip(("low", "high"), policy.spaces.bounds, strict=True):
                self.register_buffer(place, torch.tensor(bound, dtype=torch.float32))

    def forward(self, observation: Tensor, noise: Tensor | None = None) -> tuple[Tensor, ...]:
        state = {name: getattr(self, place) for place, name in self.names.items()}
        given = self.policy.silence(observation.shape[0]) if noise is None else noise
        with policies_made() as made, Argmax() as argmax:
            act = self.policy.learner.behaviour(state, "greedy", self.policy.now)
            action = act(observation.unsqueeze(0), given.unsqueeze(0))[0]
        found = {"action": action}
        if self.policy.spaces.bounds is not None:
            found["action"] = torch.minimum(torch.maximum(action, self.low), self.high)
        if len(made) == 1:
            parts = [getattr(made[0], name) for name in PARAMETERS[type(made[0])]]
            found |= zip(PARAMETERS[type(made[0])], (part.expand_as(parts[0])[0] for part in parts), strict=True)
        elif argmax.of is not None and not made:
            found["values"] = argmax.of[0]
        self.outputs = list(found)
        return tuple(found.values())


class Argmax(TorchFunctionMode):
    """Notes what the last argmax was taken of."""

    of: Tensor | None = None

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in (torch.argmax, Tensor.argmax):
            self.of = args[0]
        return function(*args, **(kwargs or {}))


@contextmanager
def policies_made() -> Iterator[list[Any]]:
    """The policies that are made meanwhile."""
    made: list[Any] = []
    before = {kind: kind.__init__ for kind in PARAMETERS}

    def noting(kind: type[Any]) -> Callable[..., None]:
        def make(self: Any, *args: Any, **kwargs: Any) -> None:
            before[kind](self, *args, **kwargs)
            made.append(self)

        return make

    try:
        for kind in PARAMETERS:
            kind.__init__ = noting(kind)
        yield made
    finally:
        for kind, make in before.items():
            kind.__init__ = make


@contextmanager
def plain_operations() -> Iterator[None]:
    """Networks compute by torch alone, as on other devices than the CPU."""
    names = vars(networks)
    before = names["by_hand"]
    names["by_hand"] = lambda flat: False
    try:
        yield
    finally:
        names["by_hand"] = before


@contextmanager
def quiet() -> Iterator[None]:
    """Without what torch and its exporter say of themselves meanwhile: packages that are not there, what they leave as it is."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)


def require_packages() -> None:
    """Raises InputError where ONNX files cannot be written or tried here."""
    absent = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if absent:
        raise InputError(
            f"-o: an ONNX file needs the package {absent[0]}: pip install -e '.[onnx]'; or write .safetensors"
        )


def write_onnx(policy: Policy, path: Path) -> None:
    """Raises InputError where the pair's acting is no graph of tensors."""
    acting = Acting(policy)
    examples: dict[str, Tensor] = {"observation": _observations(policy, 2)}
    if needs_noise(policy):
        examples["noise"] = policy.silence(2)
    try:
        with torch.no_grad(), plain_operations(), quiet():
            acting(*examples.values())  # which outputs there are
            batch = torch.export.Dim("batch")
            axes = {name: {0: batch} for name in examples}
            graph = torch.export.export(acting, tuple(examples.values()), dynamic_shapes=axes, strict=False)
            program = torch.onnx.export(
                graph, input_names=list(examples), output_names=acting.outputs, dynamo=True, verbose=False
            )
    except Exception as error:  # of the pair's own code, or of an operation that ONNX does not have
        raise InputError(
            f"pair {policy.spec.pair!r}: its acting is no graph that ONNX can hold: {told(error, __file__)}"
        ) from error
    assert program is not None
    program.model.metadata_props.update(policy.facts)
    for value in (*program.model.graph.inputs, *program.model.graph.outputs):
        if value.shape is not None:
            value.shape[0] = "batch"
    with replacing(path) as temporary:
        program.save(str(temporary), include_initializers=True)


def needs_noise(policy: Policy) -> bool:
    """Whether the greedy action depends on noise, as where it is the best of several samples."""
    acting, seen, silence = Acting(policy), _observations(policy, 64), policy.silence(64)
    with torch.no_grad():
        return not torch.equal(acting(seen, silence)[0], acting(seen, silence + 1)[0])


def _observations(policy: Policy, count: int) -> Tensor:
    """Any observations [count, *shape] of the task's type."""
    drawn = np.random.default_rng(0).random((count, *policy.spaces.observation))
    return torch.from_numpy((drawn * policy.spaces.scale).round(3).astype(policy.spaces.dtype))


def disagreement(policy: Policy, path: Path, observations: np.ndarray) -> float:
    """Largest difference between the outputs of an ONNX file and our own at observations [N, *shape], over the largest of our outputs.

    Of choices by what they are chosen by. Infinite where a choice is another though the best two differ by more than rounding.
    """
    import onnxruntime

    acting, silence = Acting(policy), policy.silence(len(observations))
    given = {"observation": observations} | ({"noise": silence.numpy()} if needs_noise(policy) else {})
    with torch.no_grad():
        ours = [each.numpy() for each in acting(torch.from_numpy(observations), silence)]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    theirs = session.run(acting.outputs, given)
    worst = 0.0
    for name, one, other in zip(acting.outputs, ours, theirs, strict=True):
        assert one.shape == other.shape, name
        if one.dtype.kind == "f":
            far = np.abs(one - other).max() / max(np.abs(one).max(), 1e-30)
            worst = float(np.maximum(worst, far))  # NaN is kept
        elif (one != other).any():
            best = np.sort(ours[1], 1) if len(ours) > 1 else np.array([[0.0, 1.0]] * len(one))
            gap = (best[:, -1] - best[:, -2]) / np.abs(best).max()
            worst = np.inf if (gap[one != other] > 1e-5).any() else worst
    return worst
