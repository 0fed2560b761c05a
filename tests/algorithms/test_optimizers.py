"""Optimizers of rows against torch's own, member by member, and their bits in company."""

from __future__ import annotations

import pytest
import torch

from algorithms import population
from algorithms.population import optimizers

RATES = [1e-2, 1e-3, 0.3]


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def scattered_gradients(steps, members, size):
    return randn(steps, members, size, seed=1) * torch.logspace(-4, 2, members).view(1, -1, 1)


def optimized_alone(make, start, gradients):
    """One member's parameters after torch's own optimizer has seen `gradients` [steps, n]."""
    parameter = torch.nn.Parameter(start.clone())
    optimizer = make([parameter])
    for each in gradients:
        parameter.grad = each.clone()
        optimizer.step()
    return parameter.detach()


STEPS = {
    "adam": (population.adam_state, lambda *arguments: population.adam_(*arguments, epsilon=1e-5)),
    "rmsprop": (population.rmsprop_state, lambda *arguments: population.rmsprop_(*arguments, decay=0.9, epsilon=1e-3)),
}
ALONE = {
    "adam": lambda rate: lambda p: torch.optim.Adam(p, lr=rate, eps=1e-5),
    "rmsprop": lambda rate: lambda p: torch.optim.RMSprop(p, lr=rate, alpha=0.9, eps=1e-3),
}


def stepped(kind, start, gradients, rates):
    """The state after steps with these gradients [steps, P, n]."""
    make, step = STEPS[kind]
    state = make("p", start.clone())
    for each in gradients:
        step(state, "p", each.clone(), torch.tensor(rates))
    return state


@pytest.mark.parametrize("rates", [RATES, [1e-2] * 3])
@pytest.mark.parametrize("kind", STEPS)
def test_steps_are_torchs_for_each_member(kind, rates):
    start, gradients = randn(3, 128), scattered_gradients(50, 3, 128)
    found = stepped(kind, start, gradients, rates)["p"]
    for member, rate in enumerate(rates):
        alone = optimized_alone(ALONE[kind](rate), start[member], gradients[:, member])
        torch.testing.assert_close(found[member], alone, rtol=1e-5, atol=1e-5 * rate)
    assert (found - start).abs().min() > 1e-5


@pytest.mark.parametrize("size", [64, 128, 4992, 100])
@pytest.mark.parametrize("rates", [RATES, [1e-2] * 3])
@pytest.mark.parametrize("kind", STEPS)
def test_a_row_of_any_rate_has_the_same_bits_alone_and_in_company(kind, rates, size):
    start, gradients = randn(3, size), scattered_gradients(10, 3, size)
    together = stepped(kind, start, gradients, rates)
    for member, rate in enumerate(rates):
        part = slice(member, member + 1)
        alone = stepped(kind, start[part], gradients[:, part], [rate])
        for name, values in together.items():
            assert torch.equal(values[part], alone[name]), name


def test_a_row_that_was_set_to_zero_changes_no_other():
    """A diverged member's state, its count of steps as well, is 0 from then on."""
    start, gradients = randn(3, 128), scattered_gradients(20, 3, 128)
    sound = stepped("adam", start, gradients, [1e-2] * 3)
    state = stepped("adam", start, gradients[:10], [1e-2] * 3)
    for values in state.values():
        values[0] = 0
    for each in gradients[10:]:
        population.adam_(state, "p", each.clone(), torch.tensor([1e-2] * 3), epsilon=1e-5)
    assert torch.equal(state["p"][1:], sound["p"][1:])


def test_steps_elsewhere_are_those_of_the_cpu():
    """Without torch's fused kernel, as on another device."""

    class Elsewhere(torch.Tensor):
        device = torch.device("meta")

    start, gradients = randn(3, 128), scattered_gradients(10, 3, 128)
    expected = stepped("adam", start, gradients, RATES)["p"]
    state = population.adam_state("p", start.clone())
    state["p"] = state["p"].as_subclass(Elsewhere)
    for each in gradients:
        population.adam_(state, "p", each.clone(), torch.tensor(RATES), epsilon=1e-5)
    assert state["p.adam_count"].tolist() == [10] * 3
    torch.testing.assert_close(state["p"].as_subclass(torch.Tensor), expected, rtol=1e-5, atol=1e-6)


def test_descending_a_loss_is_a_step_by_its_gradient():
    start = randn(2, 64)
    state, rates = population.adam_state("p", start.clone()), torch.tensor([0.1, 0.2])
    leaf = population.leaf(state["p"])
    population.descend_(state, "p", (leaf**3).sum(1), leaf, rates)
    expected = population.adam_state("p", start.clone())
    population.adam_(expected, "p", 3 * start**2, rates)
    torch.testing.assert_close(state["p"], expected["p"])


def test_clipping_is_torchs_for_each_member_and_part():
    gradients = scattered_gradients(1, 4, 128)[0]
    before, found = gradients.clone(), []
    for row in gradients.clone():
        for part in row.view(2, 64):
            parameter = torch.nn.Parameter(torch.zeros(64))
            parameter.grad = part.clone()
            norm = torch.nn.utils.clip_grad_norm_([parameter], 0.5)
            found.append((norm, parameter.grad))
    torch.testing.assert_close(
        population.clip_norm_(gradients, 0.5, 2).flatten(), torch.stack([norm for norm, _ in found])
    )
    torch.testing.assert_close(gradients.view(8, 64), torch.stack([part for _, part in found]))
    assert torch.equal(gradients[0], before[0])  # the small one is left as it was
    assert gradients[-1].view(2, 64).norm(dim=1).tolist() == pytest.approx([0.5, 0.5], rel=1e-4)


def test_clipping_by_hand():
    gradients = torch.tensor([[3.0, 4.0], [0.3, 0.4]])
    assert population.clip_norm_(gradients, 1.0).flatten().tolist() == pytest.approx([5.0, 0.5])
    assert gradients[0].tolist() == pytest.approx([0.6, 0.8], rel=1e-5)
    assert torch.equal(gradients[1], torch.tensor([0.3, 0.4]))


@pytest.mark.parametrize("size", [64, 128, 4992])
def test_norms_do_not_depend_on_company(size):
    gradients = scattered_gradients(1, 5, 2 * size)[0]
    whole = gradients.clone()
    norms = population.clip_norm_(whole, 0.5, 2)
    for member in range(5):
        alone = gradients[member : member + 1].clone()
        assert torch.equal(population.clip_norm_(alone, 0.5, 2)[0], norms[member])
        assert torch.equal(alone[0], whole[member])


def test_gradients_are_those_of_each_members_own_loss():
    parameters = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    found = population.gradient((parameters**2).sum(1) * torch.tensor([1.0, 10.0]), parameters)
    assert found.tolist() == [[2.0, 4.0], [60.0, 80.0]]


def test_targets_follow_or_are_copied_when_due():
    target, source = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 6.0]])
    population.follow_(target, source, 0.75)
    assert target.tolist() == [[1.5, 3.0]]
    population.copy_when_(target, source, torch.tensor(False))
    assert target.tolist() == [[1.5, 3.0]]
    population.copy_when_(target, source, torch.tensor(True))
    assert target.tolist() == [[3.0, 6.0]] and target.data_ptr() != source.data_ptr()


def test_betas_are_adams():
    assert optimizers.BETAS == (0.9, 0.999)
