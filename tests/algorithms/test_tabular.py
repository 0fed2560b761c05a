from __future__ import annotations

import math

import pytest
import torch

from algorithms import tabular
from algorithms.tabular import FLOAT, MDP

LN2 = 0.6931471805599453


def one_state(rewards, stays, discount):
    """One state, one action a reward; `stays`: probability that the episode goes on."""
    transition = torch.tensor(stays, dtype=FLOAT).view(1, 1, -1, 1)
    return MDP(
        transition,
        torch.tensor([[rewards]], dtype=FLOAT),
        torch.tensor([discount], dtype=FLOAT),
        torch.ones(1, 1, dtype=FLOAT),
    )


def log(*probabilities):
    return torch.tensor([[probabilities]], dtype=FLOAT).log()


def close(found, expected, tolerance=1e-12):
    torch.testing.assert_close(found, torch.tensor(expected, dtype=FLOAT), rtol=0, atol=tolerance)


def random(seed=0, **options):
    defaults = {"count": 4, "states": 5, "actions": 3, "discount": 0.9, "deterministic": False, "terminating": False}
    return tabular.random_mdp(torch.Generator().manual_seed(seed), **{**defaults, **options})


def test_values_by_hand():
    """V = (1/2 (1 + 3) + tau ln 2)/(1 - 1/2) = 4 + 2 tau ln 2 without ends; with an end at once in the second action, 1/(1 - 1/4) times."""
    uniform = log(0.5, 0.5)
    close(tabular.evaluate(one_state([1.0, 3.0], [1.0, 1.0], 0.5), uniform), [[4.0]])
    close(tabular.evaluate(one_state([1.0, 3.0], [1.0, 1.0], 0.5), uniform, 0.1), [[4.0 + 0.2 * LN2]])
    close(tabular.evaluate(one_state([1.0, 3.0], [1.0, 1.0], 0.5), uniform, 0.1, -LN2), [[4.0]])
    close(tabular.evaluate(one_state([1.0, 3.0], [1.0, 0.0], 0.5), uniform), [[8 / 3]])
    close(tabular.objective(one_state([1.0, 3.0], [1.0, 1.0], 0.5), uniform), [4.0])


def test_optima_by_hand():
    """Hard: 3/(1 - 1/2). Soft with equal rewards: entropy ln 2 a step on top."""
    close(tabular.policy_iteration(one_state([1.0, 3.0], [1.0, 1.0], 0.5)), [[[4.0, 6.0]]])
    close(tabular.policy_iteration(one_state([1.0, 1.0], [1.0, 1.0], 0.5), 2.0), [[[2.0 + 2 * LN2] * 2]])
    close(tabular.policy_iteration(one_state([1.0, 1.0], [1.0, 1.0], 0.5), 2.0, -LN2), [[[2.0, 2.0]]])


@pytest.mark.parametrize("options", [{}, {"deterministic": True}, {"terminating": True}])
@pytest.mark.parametrize("temperature", [0.0, 0.01, 1.0])
def test_value_and_policy_iteration_agree(options, temperature):
    mdp = random(**options)
    q = tabular.policy_iteration(mdp, temperature)
    torch.testing.assert_close(tabular.value_iteration(mdp, temperature, tolerance=1e-11), q, rtol=0, atol=1e-10)
    torch.testing.assert_close(tabular.optimal_backup(mdp, q, temperature), q, rtol=0, atol=1e-11)


def test_a_batch_of_temperatures_is_the_single_ones():
    mdp = random(count=3)
    temperatures = torch.tensor([0.5, 0.0, 0.5], dtype=FLOAT)
    reference = torch.log_softmax(torch.randn(3, 1, 3, generator=torch.Generator().manual_seed(1), dtype=FLOAT), -1)
    together = tabular.policy_iteration(mdp, temperatures, reference)
    for row, tau in enumerate(temperatures.tolist()):
        alone = MDP(*(getattr(mdp, name)[row : row + 1] for name in ("transition", "reward", "discount", "start")))
        torch.testing.assert_close(
            together[row : row + 1], tabular.policy_iteration(alone, tau, reference[row : row + 1]), rtol=0, atol=1e-12
        )


def test_occupancy_is_the_discounted_sum_of_visits():
    mdp = random(terminating=True, discount=0.5)
    log_policy = torch.log_softmax(torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(2), dtype=FLOAT), -1)
    visits, total = mdp.start, torch.zeros_like(mdp.start)
    for t in range(60):
        total = total + 0.5 * 0.5**t * visits
        visits = torch.einsum("ns,nsa,nsat->nt", visits, log_policy.exp(), mdp.transition)
    torch.testing.assert_close(tabular.occupancy(mdp, log_policy), total, rtol=0, atol=1e-14)


def test_fisher_matrix_by_hand():
    """One state, probabilities (1/4, 3/4), softmax scores: 3/16 times [[1, -1], [-1, 1]]; half the visits give half of it."""
    log_policy = log(0.25, 0.75)
    score = torch.tensor([[[[0.75, -0.75], [-0.25, 0.25]]]], dtype=FLOAT)
    half = torch.tensor([[0.5]], dtype=FLOAT)
    close(tabular.fisher(half, log_policy, score), [[[3 / 32, -3 / 32], [-3 / 32, 3 / 32]]])


def test_natural_gradient_inverts_where_it_can():
    fisher = torch.diag(torch.tensor([2.0, 4.0, 0.0], dtype=FLOAT)).unsqueeze(0)
    close(tabular.natural_gradient(fisher, torch.tensor([[2.0, 2.0, 5.0]], dtype=FLOAT)), [[1.0, 0.5, 0.0]])


def test_chain_ends_right_of_the_last_state():
    generator = torch.Generator().manual_seed(0)
    ending = tabular.chain(generator, 2, 4, 0.9, 0.1, True)
    close(ending.terminating[0, -1], [0.1, 0.9])
    assert not bool(ending.terminating[:, :-1].any())
    assert not bool(tabular.chain(generator, 2, 4, 0.9, 0.1, False).terminating.any())
    assert bool((tabular.policy_iteration(ending)[..., 1] > tabular.policy_iteration(ending)[..., 0]).all())


def test_grid_leads_to_its_goal():
    generator = torch.Generator().manual_seed(0)
    for terminating in (True, False):
        mdp = tabular.grid(generator, 2, 2, 3, 0.9, 0.0, terminating)
        assert bool(mdp.terminating.any()) == terminating
        greedy = tabular.policy_iteration(mdp)[0].argmax(-1)
        assert int(greedy[2]) == 1 and int(greedy[4]) == 3  # above the goal: down; left of it: right
    torch.testing.assert_close(
        tabular.grid(generator, 2, 2, 3, 0.9, 0.4, False).transition.sum(-1), torch.ones(2, 6, 4, dtype=FLOAT)
    )


def test_deterministic_processes_have_one_successor():
    assert bool(((random(deterministic=True).transition == 0) | (random(deterministic=True).transition == 1)).all())
    assert bool(random(terminating=True).terminating.amax() > 0.1)


def test_temperature_zero_has_no_boltzmann_policy():
    with pytest.raises(
        ValueError, match="temperature: must be above 0; the Boltzmann policy has no limit at 0 where actions tie"
    ):
        tabular.boltzmann(torch.zeros(1, 1, 2, dtype=FLOAT), 0.0)


def test_wrong_processes_are_refused():
    good = random()
    parts = {name: getattr(good, name) for name in ("transition", "reward", "discount", "start")}
    wrong = {
        "discount: must be at least 0 and below 1": {"discount": torch.full((4,), 1.0, dtype=FLOAT)},
        r"discount: must have shape \(4,\)": {"discount": torch.full((3,), 0.5, dtype=FLOAT)},
        "transition: must be probabilities": {"transition": good.transition * 1.1},
        "start: must be probabilities": {"start": good.start / 2},
    }
    for message, change in wrong.items():
        with pytest.raises(ValueError, match=message):
            MDP(**{**parts, **change})


def test_iterations_that_do_not_end_are_told():
    with pytest.raises(RuntimeError, match="more than 3 backups"):
        tabular.value_iteration(random(), 1.0, limit=3)
    with pytest.raises(RuntimeError, match="more than 1 evaluations"):
        tabular.policy_iteration(random(), 1.0, limit=1)


def test_look_ahead_by_hand():
    mdp = one_state([1.0, 3.0], [1.0, 0.25], 0.5)
    close(tabular.look_ahead(mdp, torch.tensor([[8.0]], dtype=FLOAT)), [[[5.0, 4.0]]])
    close(tabular.soft_value(torch.tensor([[[0.0, 0.0]]], dtype=FLOAT), 0.5), [[0.5 * math.log(2)]])
