"""Networks along directions and back, Fisher products and conjugate gradients, against autograd and dense systems."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Categorical, Independent, Normal, kl_divergence

from algorithms import divergence, policies
from algorithms.divergence import Fisher
from algorithms.learner import Spaces
from algorithms.population import Network, curvature, networks
from algorithms.population.curvature import Tangent, conjugate_gradient
from harness.run.streams import Streams

VECTOR = Spaces((5,), 3)
IMAGE = Spaces((5, 5, 2), 3, dtype="uint8")
LARGE = Spaces((36, 36, 1), 3, dtype="uint8", scale=255.0)
NETWORKS = {
    "tanh": lambda: Network("net", VECTOR, (8, 6), (3, 1), "tanh", gains=(1, 1), free=2),
    "relu, copies": lambda: Network("net", VECTOR, (8,), (2,), "relu", gains=(1,), copies=2),
    "no hidden layer": lambda: Network("net", VECTOR, (), (3,), "tanh", gains=(1,)),
    "image": lambda: Network("net", IMAGE, (), (3, 1), gains=(1, 1), free=1),
    "images, copies": lambda: Network("net", IMAGE, (), (3,), gains=(1,), copies=2),
    "large image": lambda: Network("net", LARGE, (), (2,), gains=(1,)),
}


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def start(network, members=2):
    """Parameters in float64, none 0."""
    flat = network.initial(Streams(list(range(members)), 0, torch.device("cpu"))).double()
    for matrix in network.layout.tensors(flat):
        matrix += 0.1 * normal(*matrix.shape, seed=1)
    return flat


def seen(spaces, members, batch):
    if spaces.dtype == "uint8":
        high = 256 if spaces.scale > 1 else 2
        generator = torch.Generator().manual_seed(2)
        return torch.randint(high, (members, batch, *spaces.observation), generator=generator, dtype=torch.uint8)
    return normal(members, batch, *spaces.observation, seed=2)


@pytest.fixture(params=["by hand", "by torch"])
def way(request, monkeypatch):
    if request.param == "by torch":
        for module in (networks, curvature):
            monkeypatch.setattr(module, "by_hand", lambda flat: False)
    return request.param


@pytest.mark.parametrize("name", NETWORKS)
def test_along_and_back_are_those_of_autograd(name, way):
    network = NETWORKS[name]()
    spaces = LARGE if name == "large image" else IMAGE if network.shared else VECTOR
    flat, observation = start(network), seen(spaces, 2, 3)
    here, expected = Tangent(network, flat, observation), network.plain(flat, observation)
    torch.testing.assert_close(here.heads, network.split(expected), rtol=1e-10, atol=1e-12)
    for number in range(2):  # as often as wanted
        direction = torch.zeros_like(flat)
        for matrix in network.layout.tensors(direction):
            matrix += normal(*matrix.shape, seed=number)
        _, moved = torch.func.jvp(lambda flat: network.plain(flat, observation), (flat,), (direction,))
        torch.testing.assert_close(here.along(direction), network.split(moved), rtol=1e-9, atol=1e-11)
        leaf = flat.clone().requires_grad_()
        outputs = network.split(network.plain(leaf, observation))
        slopes = [normal(*each.shape, seed=number) for each in outputs]
        loss = sum((slope * each).sum(-1).mean(-1).sum() for slope, each in zip(slopes, outputs, strict=True))
        (back,) = torch.autograd.grad(loss, leaf)
        by_globals = normal(2, network.free, seed=number) if network.free else None
        if by_globals is not None:
            network.globals(back).copy_(by_globals)
        torch.testing.assert_close(here.gradient(*slopes, by_globals=by_globals), back, rtol=1e-9, atol=1e-11)


CHOICES, NUMBERS = Spaces((5,), 3), Spaces((5,), 2, ((-1.0, -1.0), (1.0, 1.0)))
CASES = [(CHOICES, 1), *((NUMBERS, scheme) for scheme in (1, 2, 3, 4)), (IMAGE, 1)]


def policy_of(spaces, scheme, members=2, batch=7):
    head = policies.Head(spaces, scheme)
    network = Network("net", spaces, (8, 6), head.sizes[:1], "tanh", gains=(1,), free=head.free)
    return head, network, start(network, members), seen(spaces, members, batch)


def distribution(head, network, flat, observation):
    """Of torch, for one member."""
    policy = head.policy(network.split(network.plain(flat, observation))[0], network.globals(flat))
    if isinstance(policy, policies.Categorical):
        return Categorical(logits=policy.logits)
    return Independent(Normal(policy.mean, policy.log_std.exp().expand_as(policy.mean)), 1)


@pytest.mark.parametrize(("spaces", "scheme"), CASES)
def test_kl_is_that_of_torch(spaces, scheme):
    head, network, flat, observation = policy_of(spaces, scheme)
    other = flat + 0.1 * normal(*flat.shape, seed=5)
    old, new = (head.policy(network(each, observation)[0], network.globals(each)) for each in (flat, other))
    expected = kl_divergence(*(distribution(head, network, each, observation) for each in (flat, other)))
    torch.testing.assert_close(divergence.kl(old, new), expected, rtol=1e-9, atol=1e-12)
    assert divergence.kl(old, new).shape == (2, 7) and not divergence.kl(old, old).any()


@pytest.mark.parametrize(("spaces", "scheme"), CASES)
def test_a_fisher_product_is_the_curvature_of_the_kl(spaces, scheme, way):
    """By double backward passes of torch's KL, which is what sb3-contrib does."""
    head, network, flat, observation = policy_of(spaces, scheme)
    here = Tangent(network, flat, observation)
    product = Fisher(head, head.policy(here.heads[0], network.globals(flat)), here, 0.1)
    direction, leaf = torch.zeros_like(flat), flat.clone().requires_grad_()
    for matrix in network.layout.tensors(direction):
        matrix += normal(*matrix.shape, seed=4)
    apart = kl_divergence(*(distribution(head, network, each, observation) for each in (flat, leaf))).mean(1).sum()
    (slope,) = torch.autograd.grad(apart, leaf, create_graph=True)
    (expected,) = torch.autograd.grad((slope * direction).sum(), leaf)
    torch.testing.assert_close(product(direction), expected + 0.1 * direction, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("spaces", "scheme"), CASES)
def test_a_members_natural_gradient_does_not_depend_on_its_company(spaces, scheme):
    head, network, flat, observation = policy_of(spaces, scheme, members=9, batch=33)
    flat, wanted = flat.float(), normal(*flat.shape, seed=3, dtype=torch.float32)
    observation = observation if observation.dtype == torch.uint8 else observation.float()

    def natural(members):
        its = flat[members].clone()
        here = Tangent(network, its, observation[members].clone())
        product = Fisher(head, head.policy(here.heads[0], network.globals(its)), here, 0.1)
        return conjugate_gradient(product, wanted[members].clone(), 5)

    together = natural(list(range(9)))
    for members in ([4], [7, 2], [8, 7, 6, 5, 4, 3, 2]):
        assert torch.equal(natural(members), together[members])


def system(members, size, seed=0):
    root = normal(members, size, size, seed=seed)
    return root @ root.mT / size + 0.1 * torch.eye(size, dtype=torch.float64), normal(members, size, seed=seed + 1)


def by(matrix):
    return lambda vector: (matrix @ vector.unsqueeze(2)).squeeze(2)


def test_conjugate_gradients_solve_a_dense_system():
    matrix, wanted = system(4, 12)
    found = conjugate_gradient(by(matrix), wanted, 40)
    torch.testing.assert_close(found, torch.linalg.solve(matrix, wanted), rtol=1e-10, atol=1e-12)


def test_one_step_of_conjugate_gradients_by_hand():
    """A = diag(1, 3), b = (1, 1): the step along b is b.b / b.A b = 1/2; the second lands on (1, 1/3)."""
    matrix, wanted = torch.diag(torch.tensor([1.0, 3.0])).unsqueeze(0).double(), torch.ones(1, 2).double()
    torch.testing.assert_close(conjugate_gradient(by(matrix), wanted, 1), 0.5 * wanted)
    torch.testing.assert_close(conjugate_gradient(by(matrix), wanted, 2), torch.tensor([[1.0, 1 / 3]]).double())


def test_rows_end_by_themselves():
    """One is solved by a single step, one asks for nothing, one is singular, one is not finite and says so: the last is solved."""
    matrix, wanted = system(5, 6)
    matrix[0] = 2 * torch.eye(6)
    wanted[1] = 0
    matrix[2] = torch.diag(torch.tensor([1.0, 2.0, 3.0, 0.0, 0.0, 0.0]))
    wanted[2, 3:] = 0
    wanted[3] = torch.nan
    found = conjugate_gradient(by(matrix), wanted, 30)
    torch.testing.assert_close(found[0], wanted[0] / 2)
    assert not found[1].any() and found[3].isnan().all()
    torch.testing.assert_close(found[2, :3], wanted[2, :3] / torch.tensor([1.0, 2.0, 3.0]).double())
    assert not found[2, 3:].any()
    torch.testing.assert_close(found[4], torch.linalg.solve(matrix[4], wanted[4]), rtol=1e-10, atol=1e-12)
