"""13. The deterministic policy gradient theorem on a linear-quadratic task. Wei, Theorem 1; Liu et al. 2020, Eq. 27."""

from __future__ import annotations

from torch import Tensor

from algorithms.pairs import ddpg
from suites.theory.linear_quadratic import draw_tasks, make_ddpg, quadrature
from suites.theory.problems import distance, gradient
from suites.theory.statement import Errors, Mutant, Statement


def check(cases: int, seed: int) -> Errors:
    task = draw_tasks(cases, seed, 13)
    gain = task.gain.clone().requires_grad_()
    state, weight = quadrature(task.visited())
    action = -gain.unsqueeze(1) * state

    def critic(actions: Tensor) -> Tensor:
        return task.q(state.flatten().view(-1, 1), actions.squeeze(-1), 2)

    # One state a member, so that the expectation can weight them; d sums to 1, hence the 1/(1 - gamma) of Theorem 1.
    q, nothing = critic(action.reshape(-1, 1, 1)), task.gain.new_zeros(1, 1)  # neither a density nor a temperature
    loss = make_ddpg("ddpg").policy_loss(q, nothing, nothing).view(cases, -1)
    found = gradient(-(weight * loss).sum(1) / (1 - task.discount), gain)
    return {
        "theorem = closed form": distance(found, task.slope()),
        "closed form = autodiff of J": distance(gradient(task.objective(gain), gain), task.slope()),
        "J by its recursion over time": distance(task.rolled_out(2000), task.objective(task.gain)),
    }


STATEMENT = Statement(
    number=13,
    name="deterministic policy gradient",
    title="Deterministic policy gradient theorem: the gradient of V is the visit-weighted slope of Q times that of the policy.",
    formula=(
        r"\nabla_\theta V(\mu) = \frac{1}{1 - \gamma} \mathbb{E}_{s \thicksim d}"
        r"[ \nabla_\theta \pi_\theta(s) \nabla_a Q(s, a) |_{a = \pi_\theta(s)} ]"
    ),
    source="Wei, Theorem 1; Liu, Gu, Liu 2020, Eq. 27",
    computed=(
        "Linear-quadratic tasks s' = as + bu + noise, u = −θs; the gradient of ddpg's loss under exact visits against dV/dθ by hand."
    ),
    tolerance=1e-11,
    reason="float64 rounding (2e-16) in closed forms that divide by 1 − γ(a − bθ)² and 1 − γ, both at least 0.01",
    check=check,
    mutants=(
        Mutant(
            "ascent for descent",
            ddpg.DDPG,
            "policy_loss",
            lambda right: lambda self, q, *rest: -right(self, q, *rest),
        ),
        Mutant(
            "half of the slope",
            ddpg.DDPG,
            "policy_loss",
            lambda right: lambda self, q, *rest: right(self, q / 2, *rest),
        ),
        Mutant(
            "gradient through the action lost",
            ddpg.DDPG,
            "policy_loss",
            lambda right: lambda self, q, *rest: right(self, q.detach() + 0 * q, *rest),
        ),
    ),
)
