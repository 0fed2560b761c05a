"""Mutation test of the code that the statements check: `python tests/mutation/run.py [--only TEXT] [--cases N] [--both]`.

Each mutant is one change of one line (a sign, a factor, a missing gamma, a swapped argument), made in a temporary copy of the tree.
It is killed if an exact statement fails, or else if a test of `algorithms/` does (with --both, both are tried). Prints a line a mutant
and the share killed; exits 1 if one survives that is not marked as equivalent. Takes minutes, so it is no part of the default tests.
"""

from __future__ import annotations

import argparse
import ast
import os
import queue
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
COPIED = ("algorithms", "harness", "suites", "tests", "pyproject.toml")


@dataclass(frozen=True)
class Mutant:
    """Line `old` of `file` becomes `new`. `equivalent` says why no test could tell, where none can."""

    file: str
    old: str
    new: str
    equivalent: str = ""


MAXENT, RETURNS, POLICIES = "algorithms/maxent.py", "algorithms/returns.py", "algorithms/policies.py"
PPO, A2C, DQN = (f"algorithms/pairs/{pair}.py" for pair in ("ppo", "a2c", "dqn"))
TRACES, SVGD, DDPG = "algorithms/traces.py", "algorithms/svgd.py", "algorithms/losses/ddpg.py"
NPG, TRPO, PGQL, TABULAR = (
    "algorithms/losses/npg.py",
    "algorithms/losses/trpo.py",
    "algorithms/losses/pgql.py",
    "algorithms/tabular.py",
)

MUTANTS = [
    Mutant(MAXENT, "return -math.log(actions)", "return math.log(actions)"),
    Mutant(MAXENT, "return -math.log(actions)", "return -math.log(actions + 1)"),
    Mutant(MAXENT, "return q.amax(-1)", "return q.mean(-1)"),
    Mutant(MAXENT, "return temperature * torch.logsumexp", "return torch.logsumexp"),
    Mutant(MAXENT, "logsumexp(q / temperature + log_reference, -1)", "logsumexp(q + log_reference, -1)"),
    Mutant(MAXENT, "logsumexp(q / temperature + log_reference, -1)", "logsumexp(q / temperature - log_reference, -1)"),
    Mutant(
        MAXENT, "logsumexp(q / temperature + log_reference, -1)", "logsumexp((q + log_reference) / temperature, -1)"
    ),
    Mutant(
        MAXENT, "log_softmax(q / temperature + log_reference, -1)", "log_softmax(q * temperature + log_reference, -1)"
    ),
    Mutant(MAXENT, "log_softmax(q / temperature + log_reference, -1)", "log_softmax(q / temperature, -1)"),
    Mutant(MAXENT, "return -(log_policy.exp() * log_policy).sum(-1)", "return (log_policy.exp() * log_policy).sum(-1)"),
    Mutant(
        MAXENT, "return -(log_policy.exp() * log_policy).sum(-1)", "return -(log_policy.exp() * log_policy).mean(-1)"
    ),
    Mutant(
        MAXENT,
        "(log_policy.exp() * (log_policy - log_reference)).sum(-1)",
        "(log_policy.exp() * (log_reference - log_policy)).sum(-1)",
    ),
    Mutant(
        MAXENT, "(log_policy.exp() * (log_policy - log_reference)).sum(-1)", "(log_policy.exp() * log_policy).sum(-1)"
    ),
    Mutant(
        MAXENT,
        "return temperature * kl(log_boltzmann(q, temperature, log_reference)",
        "return kl(log_boltzmann(q, temperature, log_reference)",
    ),
    Mutant(
        MAXENT,
        "kl(log_boltzmann(q, temperature, log_reference), log_reference)",
        "kl(log_boltzmann(q, temperature, log_reference), 0.0)",
    ),
    Mutant(
        MAXENT,
        "kl(log_boltzmann(q, temperature, log_reference), log_reference)",
        "kl(log_boltzmann(q, temperature), log_reference)",
    ),
    Mutant(
        RETURNS,
        "delta = reward + discount * next_value * ~terminated - value",
        "delta = reward + next_value * ~terminated - value",
    ),
    Mutant(
        RETURNS,
        "delta = reward + discount * next_value * ~terminated - value",
        "delta = reward + discount * next_value - value",
    ),
    Mutant(
        RETURNS,
        "delta = reward + discount * next_value * ~terminated - value",
        "delta = reward + discount * next_value * ~terminated + value",
    ),
    Mutant(
        RETURNS,
        "discount * next_value * ~terminated - value",
        "discount * next_value * ~(terminated | truncated) - value",
    ),
    Mutant(RETURNS, "torch.full_like(reward, discount * trace)", "torch.full_like(reward, trace)"),
    Mutant(RETURNS, "torch.full_like(reward, discount * trace)", "torch.full_like(reward, discount)"),
    Mutant(RETURNS, "discount * trace) * ~(terminated | truncated)", "discount * trace) * ~terminated"),
    Mutant(
        RETURNS,
        "target = reward + discount * next_value * ~terminated\n    ends",
        "target = reward + discount * next_value\n    ends",
    ),
    Mutant(
        RETURNS,
        "target = reward + discount * next_value * ~terminated\n    ends",
        "target = reward + next_value * ~terminated\n    ends",
    ),
    Mutant(RETURNS, "ends = terminated | truncated\n    following", "ends = terminated\n    following"),
    Mutant(RETURNS, "reward[:, t] + discount * following", "reward[:, t] + following"),
    Mutant(
        RETURNS,
        "discount * following * ~terminated[:, t])",
        "discount * following)",
        "`ends` holds where `terminated` does, so `where` never takes this branch there",
    ),
    Mutant(
        RETURNS,
        "gain = reward[..., d] - penalty[..., d] if d else",
        "gain = reward[..., d] + penalty[..., d] if d else",
    ),
    Mutant(RETURNS, "gain = reward[..., d] - penalty[..., d] if d else reward[..., d]", "gain = reward[..., d]"),
    Mutant(
        RETURNS,
        "gain = reward[..., d] - penalty[..., d] if d else reward[..., d]",
        "gain = reward[..., d] - penalty[..., d]",
    ),
    Mutant(RETURNS, "target = target + scale * gain * alive", "target = target + gain * alive"),
    Mutant(RETURNS, "scale *= discount", "scale *= 1"),
    Mutant(
        RETURNS,
        "stops = alive if last else alive & ends[..., d]",
        "stops = alive if last else alive & terminated[..., d]",
    ),
    Mutant(RETURNS, "(stops & ~terminated[..., d])", "stops"),
    Mutant(RETURNS, "alive = alive & ~stops", "alive = alive & stops"),
    Mutant(POLICIES, "self.mean + self.log_std.exp() * noise", "self.mean - self.log_std.exp() * noise"),
    Mutant(POLICIES, "-0.5 * scaled * scaled - self.log_std", "-0.5 * scaled * scaled + self.log_std"),
    Mutant(POLICIES, "-0.5 * scaled * scaled - self.log_std", "-scaled * scaled - self.log_std"),
    Mutant(
        POLICIES, "self.log_std + 0.5 * math.log(2 * math.pi * math.e)", "self.log_std + 0.5 * math.log(2 * math.pi)"
    ),
    Mutant(PPO, "reward + self.entropy_in_return * s.temperature", "reward - self.entropy_in_return * s.temperature"),
    Mutant(PPO, "reward + self.entropy_in_return * s.temperature *", "reward + self.entropy_in_return *"),
    Mutant(PPO, "return advantage, advantage + value", "return advantage, advantage"),
    Mutant(PPO, "s.discount, s.gae_lambda)", "s.gae_lambda, s.discount)"),
    Mutant(
        PPO,
        "advantage - self.log_policy_in_advantage * s.temperature",
        "advantage + self.log_policy_in_advantage * s.temperature",
    ),
    Mutant(PPO, "(policy.log_prob(action) - old_log_prob).exp()", "(old_log_prob - policy.log_prob(action)).exp()"),
    Mutant(PPO, "ratio.clamp(1 - s.clip, 1 + s.clip)", "ratio.clamp(1 - s.clip, 1)"),
    Mutant(
        PPO, "torch.min(ratio * advantage, clipped * advantage)", "torch.max(ratio * advantage, clipped * advantage)"
    ),
    Mutant(PPO, "objective + self.bonus * s.temperature", "objective - self.bonus * s.temperature"),
    Mutant(PPO, "return -objective, ratio", "return objective, ratio"),
    Mutant(PPO, "torch.max(error, (clipped - target).square())", "torch.min(error, (clipped - target).square())"),
    Mutant(PPO, "return 0.5 * error.mean(1)", "return error.mean(1)"),
    Mutant(
        A2C,
        "rollout.reward - self.kl_in_return * s.temperature * penalty",
        "rollout.reward + self.kl_in_return * s.temperature * penalty",
    ),
    Mutant(
        A2C, "rollout.reward - self.kl_in_return * s.temperature * penalty", "rollout.reward - s.temperature * penalty"
    ),
    Mutant(A2C, "self.kl_in_return * s.temperature * penalty", "self.kl_in_return * penalty"),
    Mutant(A2C, "-policy.log_prob(action) * advantage + self", "policy.log_prob(action) * advantage + self"),
    Mutant(A2C, "advantage + self.settings.temperature * penalty", "advantage - self.settings.temperature * penalty"),
    Mutant(
        A2C, "rollout.terminated, rollout.truncated, s.discount)", "rollout.truncated, rollout.terminated, s.discount)"
    ),
    Mutant(A2C, "value_loss = 0.5 * (value - target)", "value_loss = (value - target)"),
    Mutant(DQN, "return maxent.soft_value(q, tau, self.log_reference())", "return maxent.soft_value(q, tau)"),
    Mutant(
        DQN,
        "return maxent.penalty(q, tau, self.log_reference())",
        "return -maxent.penalty(q, tau, self.log_reference())",
    ),
    Mutant(DQN, 'return 0.0 if self.backup_form == "entropy" else', 'return 0.0 if self.backup_form == "kl" else'),
    Mutant(
        DQN,
        "return (target - chosen).square().mean(1), chosen",
        "return 0.5 * (target - chosen).square().mean(1), chosen",
    ),
    Mutant(DQN, "length - 1).amin(-1)", "length - 1).amax(-1)"),
    Mutant(DQN, 'inner = window["observation"][:, :, 1:]', 'inner = window["next_observation"][:, :, 1:]'),
    Mutant(
        DQN, 'self.q(q_online, window["observation"][:, :, 0])', 'self.q(q_online, window["next_observation"][:, :, 0])'
    ),
    # What surrounds the losses in an update.
    Mutant(PPO, "rate = s.learning_rate * (1 - step / self.steps", "rate = s.learning_rate * (1 + step / self.steps"),
    Mutant(
        PPO,
        "advantage = (advantage - advantage.mean(1, keepdim=True))",
        "advantage = (advantage + advantage.mean(1, keepdim=True))",
    ),
    Mutant(
        PPO,
        "policy_loss + self.settings.value_coefficient * value_loss",
        "policy_loss - self.settings.value_coefficient * value_loss",
    ),
    Mutant(PPO, "total = reward + self.settings.discount * total", "total = reward + total"),
    Mutant(PPO, "total = total * ~end", "total = total * end"),
    Mutant(
        PPO,
        "next_value = self.value(parameters, self.normalized(state, rollout.next_observation",
        "next_value = self.value(parameters, self.normalized(state, rollout.observation",
    ),
    Mutant(A2C, "target - value.detach())", "value.detach() - target)"),
    Mutant(A2C, "target - value.detach())", "target - value)"),
    Mutant(A2C, "policy_loss + s.value_coefficient * value_loss", "policy_loss + value_loss"),
    Mutant(
        A2C,
        "next_value = self.value(parameters, rollout.next_observation",
        "next_value = self.value(parameters, rollout.observation",
    ),
    Mutant(
        DQN,
        'self.target(self.layout.split(state["target"]), window)',
        'self.target(self.layout.split(state["parameters"]), window)',
    ),
    Mutant(
        DQN,
        "stored // s.target_period > step // s.target_period",
        "stored // s.target_period >= step // s.target_period",
    ),
    Mutant(
        DQN,
        "progress * (s.exploration_end - s.exploration_start)",
        "progress * (s.exploration_start - s.exploration_end)",
    ),
    Mutant(DQN, "draw > 1 - self.epsilon(step)", "draw > self.epsilon(step)"),
    Mutant(TRACES, "return value + penalty + gae(reward - penalty", "return value + gae(reward - penalty"),
    Mutant(TRACES, "gae(reward - penalty", "gae(reward + penalty"),
    Mutant(
        TRACES,
        "rho, c = ratio.clamp(max=clip_rho), ratio.clamp(max=clip_c)",
        "c, rho = ratio.clamp(max=clip_rho), ratio.clamp(max=clip_c)",
    ),
    Mutant(TRACES, "carry = discount * c *", "carry = c *"),
    Mutant(TRACES, "discount * c * ~(terminated | truncated)", "discount * c * ~terminated"),
    Mutant(SVGD, "kappa = (-square / width).exp()", "kappa = (-square * width).exp()"),
    Mutant(SVGD, "return kappa, -2 / width", "return kappa, 2 / width"),
    Mutant(SVGD, "climb + temperature * kappa_gradient.sum(1)", "climb + kappa_gradient.sum(1)"),
    Mutant(SVGD, "kappa_gradient.sum(1)", "kappa_gradient.sum(2)"),
    Mutant(DDPG, "return -critic(action).mean(1)", "return critic(action).mean(1)"),
    Mutant(DDPG, "temperature * policy.entropy()", "policy.entropy()"),
    Mutant(
        DDPG,
        "critic(action) - temperature * policy.log_prob(action)",
        "critic(action) + temperature * policy.log_prob(action)",
    ),
    Mutant(NPG, "q + step * temperature * (target - q)", "q + step * (target - q)"),
    Mutant(TRPO, "2 * discount * largest_advantage", "discount * largest_advantage"),
    Mutant(TRPO, "(log_prob - old_log_prob).exp()", "(log_prob - old_log_prob)"),
    Mutant(PGQL, "_scaled(temperature * log_ratio, 1 / temperature)", "_scaled(temperature * log_ratio, 1.0)"),
    Mutant(PGQL, "- (penalty + backup)", "- (backup - penalty)"),
    Mutant(
        TABULAR,
        "(log_policy.exp() * mdp.reward).sum(-1) - penalty",
        "(log_policy.exp() * mdp.reward).sum(-1) + penalty",
    ),
    Mutant(TABULAR, "return (1 - mdp.discount).unsqueeze(1) * visits", "return visits"),
]


STATEMENTS = """
import dataclasses, sys
from suites.theory import STATEMENTS
from suites.theory.statement import run
each = (dataclasses.replace(statement, mutants=(), figure=None) for statement in STATEMENTS.values())
sys.exit(next((f"statement {statement.number}" for statement in each if not run(statement, int(sys.argv[1]), 0)[0]["holds"]), 0))
"""
TESTS = ["-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", "not slow", "tests/algorithms"]


def passes(arguments: list[str], tree: Path) -> bool:
    """Whether Python succeeds with these arguments in the tree."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, *arguments], cwd=tree, env=environment, capture_output=True).returncode == 0


def judge(mutant: Mutant, tree: Path, cases: int, both: bool) -> list[str]:
    """Who kills it, out of `statements` and `tests`."""
    path = tree / mutant.file
    original = path.read_text()
    path.write_text(original.replace(mutant.old, mutant.new))
    killers = []
    try:
        if not passes(["-c", STATEMENTS, str(cases)], tree):
            killers.append("statements")
        if (both or not killers) and not passes(TESTS, tree):
            killers.append("tests")
    finally:
        path.write_text(original)
    return killers


def refuse_misfits(mutants: list[Mutant]) -> None:
    """Each `old` must stand in one place, and `new` must be Python."""
    for mutant in mutants:
        original = (ROOT / mutant.file).read_text()
        if original.count(mutant.old) != 1:
            raise SystemExit(
                f"{mutant.file}: {original.count(mutant.old)} places hold {mutant.old!r}; a mutant needs exactly one"
            )
        ast.parse(original.replace(mutant.old, mutant.new))


def copied_tree(folder: Path) -> Path:
    for name in COPIED:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="mutants whose file or text holds this")
    parser.add_argument("--cases", type=int, default=20, help="random problems for each statement")
    parser.add_argument(
        "--both", action="store_true", help="try the unit tests on what the statements have killed, too"
    )
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    mutants = [mutant for mutant in MUTANTS if chosen.only in f"{mutant.file} {mutant.old} {mutant.new}"]
    refuse_misfits(mutants)
    trees: queue.SimpleQueue[Path] = queue.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        for worker in range(chosen.workers):
            (Path(folder) / str(worker)).mkdir()
            trees.put(copied_tree(Path(folder) / str(worker)))
        first = trees.get()
        for arguments in (["-c", STATEMENTS, str(chosen.cases)], TESTS):
            if not passes(arguments, first):
                raise SystemExit(f"without any mutant this fails already: python {arguments[:3]}")
        trees.put(first)

        def work(mutant: Mutant) -> list[str]:
            tree = trees.get()
            try:
                killers = judge(mutant, tree, chosen.cases, chosen.both)
            finally:
                trees.put(tree)
            verdict = " and ".join(killers) or ("(equivalent)" if mutant.equivalent else "SURVIVES")
            print(f"{verdict:20} {mutant.file}: {mutant.old!r} -> {mutant.new!r} {mutant.equivalent}", flush=True)
            return killers

        with ThreadPoolExecutor(chosen.workers) as pool:
            found = list(pool.map(work, mutants))
    real = [killers for killers, mutant in zip(found, mutants, strict=True) if not mutant.equivalent]
    killed = sum(bool(killers) for killers in real)
    tests = "unit tests" if chosen.both else "unit tests among the others"
    print(
        f"{killed} of {len(real)} mutants killed, and {len(mutants) - len(real)} equivalent: "
        f"{sum('statements' in each for each in real)} by the statements, {sum('tests' in each for each in real)} by the {tests}"
    )
    sys.exit(killed < len(real))


if __name__ == "__main__":
    main()
