"""What the suites' remarks say is what the results have."""

import math
import re
from pathlib import Path

import pandas as pd
from scipy import stats

from harness.schema.results import read_cell
from harness.schema.suite import load_suite

ROOT = Path(__file__).parents[2]


def last(cell: str) -> pd.DataFrame:
    """The last evaluation of a published cell: a row a seed and an arm."""
    curves = pd.read_parquet(ROOT / "results" / cell / "curves.parquet")
    return curves[curves["step"] == curves["step"].max()]


def test_sampling_soft_policies_fly_on_and_their_greedy_actions_land():
    means = last("classic/ppo/LunarLander-v3").groupby("arm")[["length_sampled", "return_greedy"]].mean()
    soft = means.loc[["sppo-38", "sppo-40"]]
    assert (soft["length_sampled"] > 900).all() and 400 < means.loc["ppo", "length_sampled"] < 600
    assert (soft["return_greedy"] > 200).all()


def test_the_second_q_stays_at_the_bottom_of_acrobot():
    classic, short = (
        last(f"{suite}/dqn/Acrobot-v1").set_index("arm")["return_greedy"] for suite in ("classic", "short")
    )
    assert (classic["sqn"] == -500).sum() == 6 and (classic["soft-q"] > -100).all()
    curves = pd.read_parquet(ROOT / "results" / "classic/dqn/Acrobot-v1" / "curves.parquet")
    best = curves[curves["arm"] == "sqn"].groupby("seed")["return_greedy"].max()
    assert (best == -500).sum() == 3 and "ends at -500 for 6 of 10 seeds, 3 of which never left it" in " ".join(
        remark.text for remark in load_suite("classic").remarks
    )
    assert (short["sqn"] < -150).any() and (short["dqn-twin"] < -150).any() and (short["soft-q"] > -200).all()


def test_entropy_beyond_the_bounds_is_free():
    entropy = last("continuous/ppo/Pendulum-v1").groupby("arm")["entropy"].mean()
    assert (entropy[["sppo-38", "sppo-38-s4"]] > 7).all()
    assert entropy[["sppo-38-s2", "sppo-38-s3"]].between(35, 45).all()
    assert last("pendulum/ppo/Pendulum-v1").groupby("arm")["entropy"].mean()["sppo-38@temperature=0.3"] > 7


def test_the_entropy_in_the_return_alone_adds_nothing_on_pendulum():
    curves = pd.read_parquet(ROOT / "results" / "pendulum/ppo/Pendulum-v1" / "curves.parquet")
    late = curves[curves["segment"] > 0.9 * curves["segment"].max()]
    means = late.groupby(["arm", "seed"])["return_sampled"].mean().unstack("arm")
    found = []
    for temperature in ("0.01", "0.03", "0.1", "0.3"):
        apart = means[f"sppo-38-baselines@temperature={temperature}"] - means[f"ppo-bonus@temperature={temperature}"]
        half = stats.t.ppf(0.975, len(apart) - 1) * apart.sem()
        found.append(f"{apart.mean():.1f} ± {half:.1f}".replace("-", "−"))
    text = load_suite("pendulum").remarks[-1].text
    assert f"is {', '.join(found[:3])} and {found[3]} points" in text
    assert means[["ppo-bonus@temperature=0.3", "sppo-38-baselines@temperature=0.3"]].mean().max() < -1000


def test_entropy_beyond_the_bounds_is_free_on_half_cheetah():
    final = last("mujoco/ppo/HalfCheetah-v5").set_index("arm")
    entropy = final.groupby("arm")["entropy"].mean()
    assert round(entropy["sppo-38"]) == 30 and round(entropy["ppo"]) == -2
    means = final.groupby("arm")[["entropy", "return_sampled"]].mean()
    found = [
        f"{means.loc[arm, 'entropy']:.1f} and {means.loc[arm, 'return_sampled']:.0f}"
        for arm in ("sppo-38-baselines", "ppo-bonus")
    ]
    text = load_suite("mujoco").remarks[0].text
    assert f"ends at {found[0].replace(' and', ' nats and a return of')}, ppo-bonus at {found[1]}." in text
    curves = pd.read_parquet(ROOT / "results/mujoco/ppo/HalfCheetah-v5/curves.parquet")
    its, lost = curves[curves["arm"] == "sppo-40"], final.loc["sppo-40"].query("diverged")["seed"]
    before = its[its["seed"].isin(lost) & ~its["diverged"]].groupby("seed").tail(1)
    members = read_cell(ROOT / "results/mujoco/ppo/HalfCheetah-v5").manifest.members["sppo-40"]
    steps = sorted(round((each.diverged_at or 0) / 1000) for each in members.values() if each.diverged_at is not None)
    assert "sppo-40 diverges on 4 of 10 seeds, after 666k to 831k steps" in text
    assert len(lost) == 4 and (steps[0], steps[-1]) == (666, 831)
    assert (before["approx_kl"] > 0.2).all() and (before["clip_fraction"] > 0.5).all()
    assert curves[curves["arm"] == "ppo"]["approx_kl"].max() < 0.03
    assert 33 < math.exp(entropy["sppo-38"] / 6) / math.sqrt(2 * math.pi * math.e) < 39
    returns = sorted(final.loc["ppo", "train_return"])
    assert returns[-2] > 4000 and returns[0] > 1500 and returns[-3] < 1850


def test_what_ours_have_at_the_budget_of_published_figures():
    found = []
    for suite in ("classic", "continuous", "pendulum"):
        for figure in load_suite(suite).published:
            if told := re.search(r"at 98k,? .*ours has (-?[\d.]+)$", figure.departs or ""):
                pair = "trpo" if figure.arm == "trpo" else "ppo"
                curves = pd.read_parquet(ROOT / "results" / suite / pair / figure.task / "curves.parquet")
                its = curves[(curves["arm"] == figure.arm) & (curves["step"] == 98304)]
                found.append(
                    len(its) >= 10 and f"{its[f'return_{figure.actions}'].mean():.1f}" == f"{float(told[1]):.1f}"
                )
    assert found == [True] * 5
