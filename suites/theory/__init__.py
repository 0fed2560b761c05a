"""The exact statements: what the sources prove, checked on random problems by the code that trains. One file a statement."""

from __future__ import annotations

from suites.theory import (
    s01_contraction,
    s02_optimality,
    s03_limit,
    s04_policy_iteration,
    s05_soft_policy_gradient,
    s06_naive_and_proper,
    s07_bandit,
    s08_soft_q_gradient,
    s09_damped_q,
    s10_natural_gradient,
    s11_trust_region,
    s12_clipping,
    s13_deterministic_gradient,
    s14_reparametrized_gradient,
    s15_traces,
    s16_kl_and_entropy,
    s17_svgd,
)

_MODULES = (
    s01_contraction,
    s02_optimality,
    s03_limit,
    s04_policy_iteration,
    s05_soft_policy_gradient,
    s06_naive_and_proper,
    s07_bandit,
    s08_soft_q_gradient,
    s09_damped_q,
    s10_natural_gradient,
    s11_trust_region,
    s12_clipping,
    s13_deterministic_gradient,
    s14_reparametrized_gradient,
    s15_traces,
    s16_kl_and_entropy,
    s17_svgd,
)
STATEMENTS = {module.STATEMENT.number: module.STATEMENT for module in _MODULES}
