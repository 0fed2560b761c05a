"""`softbench bench`: the row it prints, the work that it times, and its one-line errors."""

from __future__ import annotations

import importlib.util
import io
import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console
from small_suite import write_suite

from harness.bench import measure as bench
from harness.bench import peers, plain, shares
from harness.bench.flops import flops_per_step
from harness.bench.measure import Group, Job, bench_spec, learner_work, run, run_spec, table
from harness.bench.plain import Plain
from harness.errors import InputError
from harness.pool.process import Unanswered
from harness.run.cohort import Cohort
from harness.run.spec import Spec, learner_class, pair_names
from harness.run.streams import Streams
from harness.schema.suite import load_suite

TASK = "CartPole-v1"


def task_of(pair: str) -> str:
    """One whose actions the pair takes."""
    return "Pendulum-v1" if learner_class(pair).actions == "numbers" else TASK


def shorter(spec: Spec) -> Spec:
    """With rollouts of at most 64 steps and two epochs: a pair's own may be long, and what is counted here is counted in any."""
    most = {"horizon": 64, "epochs": 2}
    return replace(
        spec,
        settings={name: min(value, most[name]) if name in most else value for name, value in spec.settings.items()},
    )


sb3 = pytest.mark.skipif(
    importlib.util.find_spec("stable_baselines3") is None, reason="the optional peer is not installed"
)


@pytest.fixture(scope="module")
def row() -> Iterator[dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "ROUNDS", 3)
        patch.setattr(bench, "PRODUCTS", ("128 x 64 layers",))
        yield run("ppo", None, TASK, members=2, workers=1, peer=None, seconds=0.05)[0]


@pytest.mark.slow
def test_row_has_the_promised_keys_and_is_json(row: dict[str, Any]) -> None:
    assert json.loads(json.dumps(row, allow_nan=False)) == row
    assert {"pair": "ppo", "arm": "ppo", "task": TASK, "members": 2, "workers": 1, "peer": None}.items() <= row.items()
    for key in (
        "steps_per_s",
        "steps_per_s_one_member",
        "environment_steps_per_s",
        "arithmetic_limit_steps_per_s",
        "members_10_over_1_wall",
        "members_10_over_1_cpu",
        "cores_busy",
    ):
        assert isinstance(row[key], float), key
        assert row[key] > 0, key
    for key in ("peer_steps_per_s", "peer_ratio_per_core", "peer_ratio_per_cpu_second"):
        assert row[key] is None
    assert row["versions"]["torch"] == torch.__version__


@pytest.mark.slow
def test_row_is_consistent(row: dict[str, Any]) -> None:
    assert row["steps_per_s_lowest"] <= row["steps_per_s"] <= row["steps_per_s_highest"]
    assert row["arithmetic_limit_steps_per_s"] == pytest.approx(row["matmul_flops_per_s"] / row["flops_per_step"])
    assert row["time_shares"]["arithmetic"] == pytest.approx(row["steps_per_s"] / row["arithmetic_limit_steps_per_s"])
    assert row["time_shares"]["environments"] == pytest.approx(row["steps_per_s"] / row["environment_steps_per_s"])
    assert sum(row["time_shares"].values()) == pytest.approx(1)
    assert row["time_shares"][row["binds"]] == max(row["time_shares"].values())


@pytest.mark.slow
def test_row_has_the_shares_of_a_run(row: dict[str, Any]) -> None:
    assert row["run"] == {"steps": 500_000, "segments": 20, "episodes": 20}
    assert set(row["run_shares"]) == {"evaluation", "checkpoints", "divergence_checks"}
    assert all(0 < share < 1 for share in row["run_shares"].values()) and sum(row["run_shares"].values()) < 1


def test_shares_grow_with_what_they_are_of(tmp_path, monkeypatch) -> None:
    """And a checkpoint writes what a segment has changed of a replay, in this folder, and leaves nothing there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shares, "SECONDS", 0.05)
    monkeypatch.setattr(shares, "time", SimpleNamespace(perf_counter=time.process_time))  # whatever else runs here
    spec = replace(run_spec("dqn", None, TASK), steps=20_000, segments=2, episodes=1)

    def median(spec: Spec) -> dict[str, float]:
        found = [shares.measure(spec, 2) for _ in range(3)]
        return {name: statistics.median(each[name] for each in found) for name in found[0]}

    few = median(spec)
    many = median(replace(spec, segments=40))
    large = median(replace(spec, settings=spec.settings | {"replay_size": 300_000}))
    assert many["evaluation"] > 2 * few["evaluation"] and many["checkpoints"] > 2 * few["checkpoints"]
    assert large["checkpoints"] > 2 * few["checkpoints"]
    assert all(0 < share < 1 for each in (few, many, large) for share in each.values())
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_table_shows_every_number(row: dict[str, Any]) -> None:
    with_peer = {
        **row,
        "peer": "sb3",
        "peer_steps_per_s": 4321.0,
        "peer_ratio_per_core": 8.25,
        "peer_ratio_per_cpu_second": 9.75,
    }
    printed = io.StringIO()
    Console(width=200, file=printed).print(table([row, with_peer]))
    rates = [f"{row[key]:,.0f}" for key in ("steps_per_s", "environment_steps_per_s", "arithmetic_limit_steps_per_s")]
    for part in ("ppo on CartPole-v1", *rates, "4,321 (sb3)", "8.25", "9.75", row["binds"]):
        assert part in printed.getvalue()


def test_rates_are_told_where_the_shares_of_a_run_cannot_be_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(spec: Spec, members: int) -> dict[str, float]:
        raise Unanswered("it took longer than 600 s")

    def timed(jobs: dict[str, list[Job]], seconds: float) -> dict[str, Any]:
        return {name: SimpleNamespace(rates=[2.0], cpu_rates=[2.0]) for name in jobs}

    monkeypatch.setattr(bench, "shares_of", fails)
    monkeypatch.setattr(bench, "timed", timed)
    found = run("ppo", None, TASK, members=2, workers=1, peer=None, seconds=1.0)
    assert found[0]["steps_per_s"] == 2 and found[0]["run_shares"] is None
    printed = io.StringIO()
    Console(width=200, file=printed).print(table(found))
    assert printed.getvalue().count("not measured: it took longer than 600 s") == 3


def test_flops_of_ppo_against_a_count_by_hand() -> None:
    """Multiply-adds of a 4-64-64-2 actor and a critic whose output is padded to as many, a step."""
    forward = 2 * (4 * 64 + 64 * 64 + 64 * 2)
    backward = forward + 2 * (64 * 64 + 64 * 2)  # gradients of weights, and of inputs but for the first layer's
    rollout, old_policy, epochs = 1, 1, 4
    following = 3 / 128  # of the last observation, and of two where a time limit cuts an episode, of 128 steps
    expected = 2 * (forward * (rollout + old_policy + following) + epochs * (forward + backward))
    assert flops_per_step(bench_spec("ppo", "ppo", TASK)) == expected


@pytest.mark.parametrize("pair", pair_names())
def test_flops_of_every_pair_are_counted_and_grow_with_its_networks(pair: str) -> None:
    spec = shorter(bench_spec(pair, None, task_of(pair)))
    wider = replace(spec, settings=spec.settings | {"hidden": [2 * width for width in spec.settings["hidden"]]})
    assert 1000 < flops_per_step(spec) < 0.5 * flops_per_step(wider)


@pytest.mark.parametrize("pair", pair_names())
def test_timed_steps_are_those_that_the_learner_learned_from(pair: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    made: list[Cohort] = []

    class Spy(Cohort):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(self)
            update: Any = self.learner.update

            def spied(state: Any, batch: Any, now: Any) -> Any:
                seen.append(int(now.step))
                return update(state, batch, now)

            monkeypatch.setattr(self.learner, "update", spied)

    monkeypatch.setattr(bench, "Cohort", Spy)
    work, units = learner_work(Job("learner", shorter(bench_spec(pair, None, task_of(pair))), [0, 1, 2]))
    (cohort,) = made
    late = 0 if cohort.replay is None else (bench.LEARNING_STARTS - 1) // cohort.quantum
    work(late + 10)
    work(2)
    assert cohort.spec.episodes == 1 and units == 3 * cohort.quantum
    assert seen == [iteration * cohort.quantum for iteration in range(late, late + 12)]


def test_dqn_learns_in_the_timed_windows() -> None:
    """Learning starts early, and exploration stays at the mean of its schedule: half of the run from 1 to 0.05, then 0.05."""
    spec = bench_spec("dqn", None, TASK)
    assert spec.settings["exploration_start"] == spec.settings["exploration_end"] == pytest.approx(0.2875)
    cohort = Cohort(spec, [0])
    first = bench.LEARNING_STARTS // 10
    state = cohort.initial()
    cohort.train(state, Streams([0], 1, cohort.device), 0, first - 1)
    before = state["q"].clone()
    records = cohort.train(state, Streams([0], 2, cohort.device), first - 1, first + 2)
    assert not torch.equal(state["q"], before)
    assert records["td_loss"][0] > 0


@sb3
@pytest.mark.parametrize("pair", ["ppo", "a2c", "dqn", "reinforce", "impala", "ddpg", "trpo"])
def test_peer_does_as_many_steps_with_the_settings_of_the_pair(pair: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if pair == "trpo":
        pytest.importorskip("sb3_contrib", reason="sb3-contrib is not installed (extra `sb3`)")
    made: list[Any] = []
    build = peers.MODELS[pair]

    def building(*arguments: Any) -> Any:
        made.append(build(*arguments))
        return made[0]

    monkeypatch.setitem(peers.MODELS, pair, building)
    spec = bench_spec(pair, None, task_of(pair))
    work, quantum = peers.sb3_work(spec)
    times = 6 if pair == "ddpg" else 1  # one step an iteration
    rounds = (1, 1) if pair == "trpo" else (1, 12, 7)  # 2048 steps an iteration
    for iterations in rounds:
        work(times * iterations)
    (model,) = made
    # SB3's PPO counts epochs; its DQN and DDPG start after 100 steps.
    updates = {"ppo": 20 * 4, "dqn": 10}.get(pair, sum(rounds))
    assert (model.num_timesteps, model._n_updates) == (sum(rounds) * times * quantum, updates)
    assert model.gamma == spec.settings["discount"]
    assert model.device.type == "cpu"
    if pair in ("ppo", "reinforce", "impala"):
        assert model.ent_coef == 0, "their first arms have no bonus"
    sizes = {parameter.shape for parameter in model.policy.parameters()}
    assert torch.Size({"dqn": [84, 120], "ddpg": [256, 256]}.get(pair, [64, 64])) in sizes


@pytest.mark.parametrize("arm", ["ddpg", "sac1-auto"])
def test_the_peer_of_plain_torch_does_as_many_steps_and_updates_as_the_pair(
    arm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = bench_spec("ddpg", arm, task_of("ddpg"))
    done: list[tuple[int, bool]] = []
    update = Plain.update

    def counted(self: Plain, batch: dict[str, Any], noise: dict[str, Any]) -> None:
        before = [parameter.clone() for parameter in self.nets["actor"][0].parameters()]
        update(self, batch, noise)
        moved = [not torch.equal(*both) for both in zip(before, self.nets["actor"][0].parameters(), strict=True)]
        done.append((len(batch["reward"]), all(moved)))

    monkeypatch.setattr(Plain, "update", counted)
    work, quantum = plain.work(spec)
    assert quantum == 1
    work(bench.LEARNING_STARTS + 6)
    assert done == [(spec.settings["batch"], True)] * 7


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"peer": "sb4"}, "unknown peer 'sb4'; did you mean 'sb3'? Known: sb3, torch"),
        ({"peer": "torch"}, "peer 'torch': has no algorithm for pair 'ppo'. Known: ddpg"),
        ({"pair": "ppq"}, "unknown pair 'ppq'; did you mean 'ppo'?"),
        ({"arm": "ppo-bonux"}, "unknown arm 'ppo-bonux' of pair 'ppo' on CartPole-v1; did you mean 'ppo-bonus'?"),
        ({"task": "CartPole-v9"}, "task 'CartPole-v9': "),
        (
            {"pair": "dqn", "task": "Pendulum-v1"},
            "pair 'dqn' needs discrete actions, Pendulum-v1 has continuous ones",
        ),
        ({"workers": 3}, "--members 2 --workers 3"),
        ({"members": 0}, "--members 0"),
        ({"seconds": float("nan")}, "nan s"),
    ],
)
def test_wrong_input_is_told_in_one_line(wrong: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError) as caught:
        run(
            **{
                "pair": "ppo",
                "arm": None,
                "task": TASK,
                "members": 2,
                "workers": 1,
                "peer": None,
                "seconds": 1.0,
                **wrong,
            }
        )
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_peer_that_is_not_installed_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"stable-baselines3 is not installed; pip install -e '\.\[sb3\]'"):
        peers.check("sb3", "ppo", (4,))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sb3_contrib" else name)
    peers.check("sb3", "ppo", (4,))
    with pytest.raises(InputError, match=r"sb3-contrib is not installed; pip install -e '\.\[sb3\]'"):
        peers.check("sb3", "trpo", (4,))


@sb3
def test_a_pair_without_a_counterpart_is_told() -> None:
    with pytest.raises(
        InputError,
        match=r"peer 'sb3': has no algorithm for pair 'other'\. Known: a2c, a3c, ddpg, dqn, impala, pgql, ppo, reinforce, trpo",
    ):
        peers.check("sb3", "other", (4,))
    with pytest.raises(InputError, match=r"peer 'sb3': is timed on flat observations alone; these are \(10, 10, 4\)"):
        peers.check("sb3", "ppo", (10, 10, 4))


def test_settings_of_a_suite_are_used(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_suite(tmp_path, cells={"dqn": {TASK: {"batch": 7, "hidden": [8], "horizon": 3, "learning_starts": 300}}})
    spec = bench_spec("dqn", "soft-dqn-kl-5step", TASK, load_suite("small"))
    assert (spec.settings["batch"], spec.settings["hidden"], spec.steps) == (7, [8], bench.BUDGET)
    assert spec.settings["learning_starts"] == bench.LEARNING_STARTS
    for pair, task, message in [
        ("ppo", TASK, "has no cells of 'ppo'"),
        ("dqn", "Acrobot-v1", "has no cell of 'Acrobot-v1'"),
    ]:
        with pytest.raises(InputError, match=f"--settings-of small: {message}"):
            bench_spec(pair, None, task, load_suite("small"))


@pytest.mark.slow
def test_a_measuring_process_that_dies_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    group = Group([Job("no such kind", bench_spec("ppo", None, TASK), [0])])
    try:
        with pytest.raises(RuntimeError, match="exit code 1"):
            group.warm_up(0.01)
    finally:
        group.close()
    assert "no such kind" in capfd.readouterr().err
