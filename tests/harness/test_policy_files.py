"""A policy as a file: ONNX and safetensors act as our own code does, in the task's units, for every kind of policy and network."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from algorithms import policies
from algorithms.learner import Spaces
from harness.errors import InputError
from harness.policy import graph
from harness.policy.policy import Policy, read
from harness.run.spec import Spec, learner_class, make_learner
from harness.run.streams import Streams

sys.path.insert(0, str(Path(__file__).parents[1] / "laws" / "pairs"))

ROW, IMAGE = (5,), (10, 10, 4)
BOUNDS = ((-2.0, -1.0), (2.0, 3.0))
CASES = {
    "categorical": ("ppo", "sppo-38", Spaces(ROW, 3), {"normalize": True}, ["action", "logits"]),
    "gaussian": ("ppo", "sppo-38-s4", Spaces(ROW, 2, BOUNDS), {"normalize": True}, ["action", "mean", "log_std"]),
    "squashed": ("invented:Invented", "climb-soft", Spaces(ROW, 2, BOUNDS), {}, ["action", "mean", "log_std"]),
    "values": ("dqn", "soft-dqn-kl", Spaces(IMAGE, 3, dtype="uint8", scale=7.0), {}, ["action", "values"]),
}
"""Pair, arm, spaces, settings, and the outputs of the file."""


def policy_of(pair: str, arm: str, spaces: Spaces, settings: dict) -> Policy:
    """An arm in a state in which every number is another than at the start."""
    kind = learner_class(pair)
    made = kind.settings_type(**{**kind.small, **settings})
    spec = Spec(pair, arm, "task", "batched", made.model_dump(mode="json"), 1000, 2, 1, "bootstrap")
    learner = make_learner(spec, spaces)
    state, draw = learner.initial(Streams([3], 0, torch.device("cpu"))), torch.Generator().manual_seed(0)
    for name, each in state.items():
        if each.is_floating_point():
            each += 0.4 * torch.rand(each.shape, generator=draw, dtype=each.dtype) - 0.2
            state[name] = each
    return Policy(spec, spaces, arm, 3, "suite", state, "0" * 64)


def observations(spaces: Spaces, count: int) -> np.ndarray:
    draw = np.random.default_rng(1)
    if spaces.dtype == "uint8":
        return draw.integers(0, int(spaces.scale) + 1, (count, *spaces.observation)).astype(np.uint8)
    return (3 * draw.standard_normal((count, *spaces.observation))).astype(np.float32)


@pytest.fixture(scope="module", params=CASES)
def written(request, tmp_path_factory, onnx):
    """A policy, its ONNX file and what its outputs must be."""
    *arguments, outputs = CASES[request.param]
    policy, path = policy_of(*arguments), tmp_path_factory.mktemp("policy") / "policy.onnx"
    graph.write_onnx(policy, path)
    return policy, path, outputs


def test_an_onnx_file_acts_as_our_own_policy(written):
    """On 10,000 observations, within 1e-5 of the largest output."""
    import onnxruntime

    policy, path, outputs = written
    seen = observations(policy.spaces, 10_000)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_inputs()] == ["observation"]
    assert [each.name for each in session.get_outputs()] == outputs
    given = dict(zip(outputs, session.run(None, {"observation": seen}), strict=True))
    assert graph.disagreement(policy, path, seen) < 1e-5
    ours = policy.act(seen)
    assert given["action"].shape == ours.shape and given["action"].dtype == ours.dtype
    if policy.spaces.bounds is None:
        assert len(np.unique(ours)) > 1 and (given["action"] != ours).mean() < 1e-3
        assert (given[outputs[1]].argmax(1) == given["action"]).all()
    else:
        low, high = np.array(policy.spaces.bounds, np.float32)
        assert (given["action"] >= low).all() and (given["action"] <= high).all() and np.ptp(ours, 0).min() > 0.1
        np.testing.assert_allclose(given["action"], ours, rtol=1e-5, atol=1e-5 * np.abs(ours).max())
    one = session.run(["action"], {"observation": seen[:1]})[0]
    np.testing.assert_allclose(one, given["action"][:1], rtol=1e-5, atol=1e-6, err_msg="any number of observations")


def test_the_comparison_with_ours_finds_another_policy(written):
    policy, path, _ = written
    other = replace(policy, state={name: each * 1.01 for name, each in policy.state.items()})
    assert graph.disagreement(other, path, observations(policy.spaces, 200)) > 1e-4


@pytest.mark.parametrize(
    ("case", "outputs", "broken", "far"),
    [
        ("categorical", 1, "nothing", 0.0),
        ("categorical", 1, "a choice", np.inf),
        ("categorical", 2, "a choice", np.inf),
        ("gaussian", 3, "a number", np.nan),
    ],
)
@pytest.mark.parametrize("count", [1, 5])
def test_another_choice_and_nan_are_found_whatever_the_outputs(monkeypatch, count, case, outputs, broken, far):
    """Of a file that has so many of its outputs, and is broken in the first: NaN is told though the others are ours."""
    onnxruntime = pytest.importorskip("onnxruntime")
    policy = policy_of(*CASES[case][:-1])
    seen = observations(policy.spaces, count)
    whole = graph.Acting.forward

    def forward(self, observation, noise=None):
        found = whole(self, observation, noise)[:outputs]
        self.outputs = self.outputs[:outputs]
        return found

    class Session:
        def __init__(self, *_, **__):
            pass

        def run(self, names, given):
            with torch.no_grad():
                found = [each.numpy().copy() for each in whole(graph.Acting(policy), torch.from_numpy(seen))]
            if broken == "a choice":
                found[0][-1] = found[1][-1].argmin()
            if broken == "a number":
                found[0][0, 0] = np.nan
            return found[: len(names)]

    monkeypatch.setattr(graph.Acting, "forward", forward)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    np.testing.assert_equal(graph.disagreement(policy, Path("x.onnx"), seen), far)


def test_the_file_says_where_it_comes_from(written):
    import onnxruntime

    policy, path, _ = written
    assert onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map == policy.facts


@pytest.mark.parametrize("name", CASES)
def test_safetensors_hold_what_acting_reads_and_act_the_same(name, tmp_path):
    *arguments, _ = CASES[name]
    policy = policy_of(*arguments)
    policy.write(tmp_path / "policy.safetensors")
    again = read(tmp_path / "policy.safetensors")
    seen, noise = observations(policy.spaces, 50), policy.silence(50).numpy()
    noise += 3 * np.random.default_rng(0).random(noise.shape)
    assert (again.spec, again.spaces, again.arm, again.seed) == (policy.spec, policy.spaces, policy.arm, policy.seed)
    assert 0 < len(again.state) < len(policy.state) and not [each for each in again.state if "adam" in each]
    for given in (None, noise):
        assert (again.act(seen, given) == policy.act(seen, given)).all()
    assert name == "values" or (policy.act(seen, noise) != policy.act(seen)).any()


@pytest.mark.parametrize("content", [b"", b"no tensors", b"\x02\x00\x00\x00\x00\x00\x00\x00{}"])
def test_another_file_is_refused_in_a_line(content, tmp_path):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.safetensors: is no policy that `softbench policy` has written"):
        read(tmp_path / "x.safetensors")


def test_a_pair_that_leaves_torch_is_refused_in_a_line_with_its_place(tmp_path, monkeypatch, onnx):
    policy = policy_of("ppo", "ppo", Spaces(ROW, 3), {})

    def act(self, state, use, now):
        return lambda observation, noise: torch.from_numpy(observation.numpy().sum(-1) > 0).long()

    monkeypatch.setattr(type(policy.learner), "behaviour", act)
    with pytest.raises(InputError, match=r"pair 'ppo': its acting is no graph .* \(test_policy_files\.py, line \d+\)"):
        graph.write_onnx(policy, tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


def test_a_greedy_action_that_needs_noise_gets_it_as_an_input(tmp_path, monkeypatch, onnx):
    import onnxruntime

    policy = policy_of("ppo", "ppo", Spaces(ROW, 2, BOUNDS), {})
    whole = type(policy.learner).behaviour
    monkeypatch.setattr(
        type(policy.learner), "behaviour", lambda self, state, use, now: whole(self, state, "sample", now)
    )
    graph.write_onnx(policy, tmp_path / "x.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "x.onnx")
    assert [each.name for each in session.get_inputs()] == ["observation", "noise"]
    seen, noise = observations(policy.spaces, 20), np.random.default_rng(0).random((20, 2)).astype(np.float32)
    theirs = session.run(["action"], {"observation": seen, "noise": noise})[0]
    np.testing.assert_allclose(theirs, policy.act(seen, noise), rtol=1e-5, atol=1e-6)


def test_the_exporter_says_nothing_of_itself(tmp_path, caplog, onnx):
    graph.write_onnx(policy_of("sql", "sql", Spaces(ROW, 2, BOUNDS), {}), tmp_path / "x.onnx")
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING] == []


def test_nothing_is_left_of_the_instruments():
    before = policies.Categorical.__init__, policies.Gaussian.__init__, vars(graph.networks)["by_hand"]

    def use():
        with graph.policies_made() as made, graph.plain_operations():
            policies.Categorical(torch.zeros(1, 2))
            raise RuntimeError(len(made))

    with pytest.raises(RuntimeError, match="1"):
        use()
    assert before == (policies.Categorical.__init__, policies.Gaussian.__init__, vars(graph.networks)["by_hand"])
