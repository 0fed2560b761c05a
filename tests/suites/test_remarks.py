"""What the suites' remarks say is what the results have."""

from pathlib import Path

import pandas as pd


def last(cell: str) -> pd.DataFrame:
    """The last evaluation of a published cell: a row a seed and an arm."""
    curves = pd.read_parquet(Path(__file__).parents[2] / "results" / cell / "curves.parquet")
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
