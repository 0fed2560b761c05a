"""What the suites' remarks say is what the results have."""

import math
from pathlib import Path

import pandas as pd
from scipy import stats

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
    assert 33 < math.exp(entropy["sppo-38"] / 6) / math.sqrt(2 * math.pi * math.e) < 39
    returns = sorted(final.loc["ppo", "train_return"])
    assert returns[-2] > 4000 and returns[0] > 1500 and returns[-3] < 1850
