"""Returns and traces of short stretches, by hand. Most numbers are dyadic, so that the comparisons are exact."""

from __future__ import annotations

import math

import pytest
import torch

from algorithms.returns import gae, n_step, n_step_windows, td_lambda, v_trace

REWARD, VALUE, NEXT = [1.0, 2.0, 3.0, 4.0], [0.5, 1.0, 1.5, 2.0], [1.0, 1.5, 2.0, 2.5]
NOT_YET = [1.0, 8.0, 2.0, 2.5]  # V = 8 at the state where the episode ends after step 1


def stretch(*rows, dtype=torch.float32):
    """[P, T, E = 1] from one list a member."""
    return torch.tensor(rows, dtype=dtype).unsqueeze(-1)


def at(*steps, length=4):
    """A row of flags, true at `steps`."""
    return [t in steps for t in range(length)]


# A member a row: no end; terminated after step 1; truncated after step 1; terminated at the cut; truncated at the cut.
REWARDS, VALUES = stretch(*[REWARD] * 5), stretch(*[VALUE] * 5)
NEXTS = stretch(NEXT, NOT_YET, NOT_YET, NEXT, NEXT)
TERMINATED = stretch(at(), at(1), at(), at(3), at(), dtype=torch.bool)
TRUNCATED = stretch(at(), at(), at(1), at(), at(3), dtype=torch.bool)


def test_gae_by_hand():
    advantage = gae(REWARDS, VALUES, NEXTS, TERMINATED, TRUNCATED, discount=0.5, trace=0.5)
    expected = stretch(
        [1.64453125, 2.578125, 3.3125, 3.25],  # deltas 1, 1.75, 2.5, 3.25
        [1.25, 1.0, 3.3125, 3.25],  # deltas 1, 1 (no bootstrap), 2.5, 3.25
        [2.25, 5.0, 3.3125, 3.25],  # deltas 1, 5 (bootstraps 8), 2.5, 3.25
        [1.625, 2.5, 3.0, 2.0],  # deltas 1, 1.75, 2.5, 2
        [1.64453125, 2.578125, 3.3125, 3.25],
    )
    assert torch.equal(advantage, expected)


def test_n_step_by_hand():
    returns = n_step(REWARDS, NEXTS, TERMINATED, TRUNCATED, discount=0.5)
    expected = stretch(
        [3.40625, 4.8125, 5.625, 5.25],
        [2.0, 2.0, 5.625, 5.25],
        [4.0, 6.0, 5.625, 5.25],
        [3.25, 4.5, 5.0, 4.0],
        [3.40625, 4.8125, 5.625, 5.25],
    )
    assert torch.equal(returns, expected)


def test_a_step_both_terminated_and_truncated_does_not_bootstrap():
    both = stretch(at(1), dtype=torch.bool)
    row = [stretch(REWARD), stretch(NOT_YET)]
    assert torch.equal(n_step(*row, both, both, 0.5), stretch([2.0, 2.0, 5.625, 5.25]))
    assert torch.equal(gae(row[0], stretch(VALUE), row[1], both, both, 0.5, 0.5), stretch([1.25, 1.0, 3.3125, 3.25]))


def random_stretch(seed):
    generator = torch.Generator().manual_seed(seed)
    shape = (3, 9, 4)
    numbers = [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2)]
    terminated, truncated = (torch.rand(shape, generator=generator) < 0.2 for _ in range(2))
    value = torch.randn(shape, generator=generator, dtype=torch.float64)
    following = numbers[1].clone()  # within an episode the next value is the value of the next row
    inside = ~(terminated | truncated)[:, :-1]
    following[:, :-1] = torch.where(inside, value[:, 1:], following[:, :-1])
    return numbers[0], value, following, terminated, truncated & ~terminated


@pytest.mark.parametrize("seed", range(3))
def test_gae_without_decay_plus_value_is_the_n_step_return(seed):
    reward, value, following, terminated, truncated = random_stretch(seed)
    advantage = gae(reward, value, following, terminated, truncated, 0.9, 1.0)
    torch.testing.assert_close(advantage + value, n_step(reward, following, terminated, truncated, 0.9))


def test_gae_with_trace_zero_is_the_temporal_difference():
    reward, value, following, terminated, truncated = random_stretch(0)
    one_step = reward + 0.9 * torch.where(terminated, 0.0, following) - value
    torch.testing.assert_close(gae(reward, value, following, terminated, truncated, 0.9, 0.0), one_step)


def test_no_value_leaks_over_an_end():
    reward, value, following, terminated, truncated = random_stretch(0)
    terminated[:, 4] = True
    truncated[:, 4] = False
    for function in (
        lambda r, v: gae(r, v, following, terminated, truncated, 0.9, 0.9),
        lambda r, _v: n_step(r, following, terminated, truncated, 0.9),
    ):
        before = function(reward, value)
        changed_reward, changed_value = reward.clone(), value.clone()
        changed_reward[:, 5:] += 100
        changed_value[:, 5:] += 100
        after = function(changed_reward, changed_value)
        assert torch.equal(before[:, :5], after[:, :5])
        assert not torch.equal(before[:, 5:], after[:, 5:])


# Windows of 5 steps: gains 1, 1.5, 3, 6, 12 after the penalties; weighted by 1/2^d: 1, 0.75, 0.75, 0.75, 0.75; V at the stop is 32.
WINDOW = [1.0, 2.0, 4.0, 8.0, 16.0]
PENALTY = [100.0, 0.5, 1.0, 2.0, 4.0]  # the first is not read


@pytest.mark.parametrize(
    ("terminated", "truncated", "expected"),
    [
        ([], [], 5.0),  # 4 + 32/32
        ([4], [], 4.0),
        ([], [4], 5.0),
        ([2], [], 2.5),
        ([], [2], 6.5),  # 2.5 + 32/8
        ([0], [], 1.0),
        ([], [0], 17.0),  # 1 + 32/2
        ([3], [1], 9.75),  # 1.75 + 32/4: the first end counts
        ([1], [3], 1.75),
    ],
)
def test_five_step_windows_by_hand(terminated, truncated, expected):
    ended = torch.tensor([[at(*terminated, length=5)]])
    ends = ended | torch.tensor([[at(*truncated, length=5)]])
    window = torch.tensor([[WINDOW]])
    target = n_step_windows(window, torch.tensor([[PENALTY]]), torch.tensor([[32.0]]), ended, ends, 0.5)
    assert target.tolist() == [[expected]]


def test_windows_read_nothing_behind_their_first_end():
    ended, ends = torch.tensor([[at(2, length=5)]]), torch.tensor([[at(2, 3, length=5)]])
    reward, penalty = torch.tensor([[WINDOW]]), torch.tensor([[PENALTY]])
    reward[..., 3:], penalty[..., 3:] = 1e6, -1e6
    assert n_step_windows(reward, penalty, torch.tensor([[32.0]]), ended, ends, 0.5).tolist() == [[2.5]]


def test_one_step_windows_are_one_step_targets():
    reward, penalty, following = (
        torch.tensor([[[3.0], [3.0], [3.0]]]),
        torch.full((1, 3, 1), 7.0),
        torch.tensor([[10.0, 10.0, 10.0]]),
    )
    ended, ends = torch.tensor([[[False], [True], [False]]]), torch.tensor([[[False], [True], [True]]])
    assert n_step_windows(reward, penalty, following, ended, ends, 0.5).tolist() == [[8.0, 3.0, 8.0]]


def test_windows_of_a_whole_stretch_are_the_n_step_return():
    reward, _, following, terminated, truncated = random_stretch(1)
    ends = terminated | truncated
    whole = n_step(reward, following, terminated, truncated, 0.9)[:, 0]
    rows = [x.transpose(1, 2) for x in (reward, terminated, ends)]
    first = torch.argmax(torch.cat([rows[2][..., :-1], torch.ones_like(rows[2][..., :1])], -1).byte(), -1)
    stop = following.transpose(1, 2).gather(-1, first.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(n_step_windows(rows[0], torch.zeros_like(rows[0]), stop, rows[1], rows[2], 0.9), whole)


# Traces of two steps ------------------------------------------------------------------------------------------------------


def column(*values, dtype=torch.float64):
    return torch.tensor(values, dtype=dtype).view(1, -1, 1)


def close(found, expected):
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)


NO = column(False, False, dtype=torch.bool)


def test_td_lambda_by_hand():
    """delta = (1 - .5 + 2 - 3, 2 - .25 + 3 - 4) at discount 1/2, V = (3, 4, 6); trace 1/2: y = V + penalty + delta_0 + delta_1/4."""
    arguments = (column(1.0, 2.0), column(0.5, 0.25), column(3.0, 4.0), column(4.0, 6.0), NO)
    close(td_lambda(*arguments, NO, 0.5, 0.5).flatten(), [3.5 - 0.5 + 0.75 / 4, 4.25 + 0.75])


def test_v_trace_by_hand():
    """rho = c = (1, 1/2) after the clip of (2, 1/2) at 1: delta = (0, 1/2); v_0 = 3 + 0 + 1/2 x 1/2. An end stops the trace."""
    arguments = (column(1.0, 2.0), column(3.0, 4.0), column(4.0, 6.0), column(math.log(2), math.log(0.5)))
    close(v_trace(*arguments, NO, NO, 0.5).flatten(), [3.25, 4.5])
    cut = column(True, False, dtype=torch.bool)
    close(v_trace(*arguments, NO, cut, 0.5).flatten(), [3.0, 4.5])
    close(v_trace(*arguments, cut, NO, 0.5).flatten(), [1.0, 4.5])
    close(v_trace(*arguments, NO, NO, 0.5, clip_rho=2.0).flatten(), [3.25, 4.5])
    close(v_trace(*arguments, NO, NO, 0.5, clip_c=2.0).flatten(), [3.5, 4.5])


@pytest.mark.parametrize("discount", [0.0, 0.9])
def test_td_lambda_does_not_reach_over_an_end(discount):
    reward, zero = column(1.0, 100.0), column(0.0, 0.0)
    end = column(True, False, dtype=torch.bool)
    close(td_lambda(reward, zero, zero, zero, end, NO, discount, 1.0)[:, 0].flatten(), [1.0])
