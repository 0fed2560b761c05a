"""The laws of pairs. Each is a function of a pair's name that tells in lines what breaks it, and tells nothing where it is kept."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import json
import re
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import small_suite
import torch

from algorithms.learner import Learner
from harness.bench import measure
from harness.errors import InputError
from harness.plan.pairs import find_pair
from harness.plan.pairs import told as in_a_line
from harness.policy import graph
from harness.policy.policy import Policy
from harness.pool.messages import Failed
from harness.run.cohort import Cohort
from harness.run.spec import Spec, learner_class, pair_names
from harness.selfcheck.experience import Task, learner_of, play, record, small_specs
from harness.store.blocks import is_replay
from harness.store.members import Member, Progress, fingerprint, layout, rows, stack
from reports.site.site import build

ROOT = Path(__file__).parents[2]
INVENTED = Path(__file__).parent / "pairs" / "invented.py"
TINY = {
    "choices": [Task("choices", "tiny"), Task("images", "tiny")],
    "numbers": [Task("numbers", "tiny")],
}
"""The backend `tiny` is tiny_tasks.py."""
REAL = {"choices": "CartPole-v1", "numbers": "Pendulum-v1"}
SEGMENTS = 2
ALONE, SEVEN, TWENTY = (3,), (11, 3, 9, 17, 101, 8, 5), (9, 3, 17, 5, 8, 11, *range(100, 114))
"""Seeds of three companies: SEVEN are among TWENTY, in another order, and ALONE is among both."""


def specs(pair: str, **settings) -> list[Spec]:
    return small_specs(pair, TINY, SEGMENTS, 1, **settings)


def company(pair: str) -> list[str]:
    """Alone, among seven, among twenty and in another order a member leaves the same bytes."""
    said = []
    for spec in specs(pair):
        most = left_behind(spec, TWENTY)
        for seeds in (SEVEN, ALONE):
            said += _differences(spec, left_behind(spec, seeds), most, f"among {len(seeds)} and {len(TWENTY)}")
    return said


def resume(pair: str) -> list[str]:
    """From the bytes of its checkpoints a run goes on as if it had not stopped."""
    said = []
    for spec in specs(pair):
        unbroken = left_behind(spec, SEVEN)
        with tempfile.TemporaryDirectory() as folder:
            cohort = Cohort(spec, list(SEVEN))
            for seed, (row, one) in zip(SEVEN, rows(*cohort.segment(cohort.initial(), 1)), strict=True):
                Member(Path(folder), seed).save(row, Progress([one], [fingerprint("", row, one)]))
            again = Cohort(spec, list(SEVEN))
            expected = layout(again.initial())
            loaded = [Member(Path(folder), seed).load(expected=expected)[0] for seed in SEVEN]
        resumed = _followed(again, stack(loaded, torch.device("cpu")), range(2, SEGMENTS + 1))
        said += _differences(spec, resumed, unbroken, "resumed and unbroken")
    return said


def at_zero(pair: str) -> list[str]:
    """At temperature 0 an arm is the arm that it names."""
    kind, said = learner_class(pair), []
    if "temperature" not in kind.settings_type.model_fields:
        return [
            f"{name}: at_zero: the pair has no setting `temperature`" for name, arm in kind.arms.items() if arm.at_zero
        ]
    for spec in specs(pair, temperature=0.0):
        limit = kind.arms[spec.arm].at_zero
        if limit is not None:
            hard, soft = (left_behind(replace(spec, arm=arm), (0, 1)) for arm in (limit, spec.arm))
            said += _differences(spec, soft, hard, f"of {spec.arm} and {limit} at temperature 0")
    return said


def settings_of_rows(pair: str) -> list[str]:
    """Members of different settings in one cohort have the bytes of training alone with these settings."""
    said = []
    for spec in specs(pair):
        names = learner_class(pair).settings_type.rows()
        values = {name: [spec.settings[name], 0.3 * (spec.settings[name] or 1), 0.0] for name in names}
        together = left_behind(spec, (5, 6, 7), json.dumps(values))
        own = {name: value[1] for name, value in values.items()}
        alone = left_behind(replace(spec, settings=spec.settings | own), (6,))
        said += _differences(spec, alone, together, "with its settings alone and as rows")
    return said


def device(pair: str) -> list[str]:
    """On `meta` tensors, which have no numbers, updates and acting ask the host for none; metrics are [P], those that are declared."""
    said, kind = [], learner_class(pair)
    for spec in specs(pair):
        try:
            before, steps = record(spec, [0, 1], 1)
            meta = torch.device("meta")
            state = {name: each.to(meta) for name, each in before.items()}
            done = play(learner_of(spec), state, [step.to(meta, torch.float32) for step in steps])
        except Exception as error:  # the pair's own code
            said.append(f"{spec.arm} on {spec.task}: {in_a_line(error)}")
            continue
        shapes = {name.split(" of update")[0]: tuple(each.shape) for name, each in done.items() if "of update" in name}
        if shapes != dict.fromkeys(kind.metrics, (2,)):
            said.append(f"{spec.arm} on {spec.task}: metrics: returns {shapes}, declares {sorted(kind.metrics)}")
        if layout(state) != layout(before):
            said.append(f"{spec.arm} on {spec.task}: state: has other tensors after an update")
    return said


def documents(pair: str) -> list[str]:
    """A pair says where it comes from, equation by equation, and what its arms and metrics are; ours stand in the README."""
    kind = find_pair(pair)
    module = sys.modules[kind.__module__]
    source = "".join(
        inspect.getsource(each) for each in kind.__mro__ if issubclass(each, Learner) and each is not Learner
    )
    said = [] if module.__doc__ else ["the module has no docstring"]
    numbered = r"(Eq\.|[Ss]ection|Fig\.|Algorithm|statement) ?\d"
    if not all(re.search(each, f"{kind.source} {module.__doc__}") for each in (r"\d{4}", numbered)):
        said.append(f"source: {kind.source!r} and the docstring name no year or no equation, section or figure")
    if not re.search(numbered, source.replace(kind.source, "")):
        said.append("no line cites its equation")
    said += [f"arms: {name}: has no title" for name, arm in kind.arms.items() if len(arm.title) <= len("PPO")]
    said += [f"metrics: {name}: has no meaning" for name, metric in kind.metrics.items() if len(metric.meaning) < 8]
    if pair in pair_names():
        row = re.search(rf"^\| `{pair}` \|.*$", (ROOT / "README.md").read_text(), re.M)
        named = re.findall(r"`([a-z0-9-]+)`", row[0]) if row else []
        said += [f"README.md: the row of the pair lacks `{name}`" for name in kind.arms if name not in named]
    return said


def bench(pair: str) -> list[str]:
    """A window of `softbench bench`, with the small settings where the pair has some."""
    kind = learner_class(pair)
    task = REAL["numbers" if kind.actions == "numbers" else "choices"]
    spec = measure.bench_spec(pair, None, task)
    job = measure.Job("learner", replace(spec, settings=spec.settings | kind.small), [0, 1])
    work, units = measure.learner_work(job)
    start = time.perf_counter()
    while units and time.perf_counter() - start < 0.2:
        work(1)
    return [] if measure.flops_per_step(job.spec) > 0 else ["its networks multiply no matrices"]


def page(pair: str) -> list[str]:
    """A small result is reported, and the page has the pair's arms and the lines in which they differ."""
    kind = learner_class(pair)
    of = "numbers" if kind.actions == "numbers" else "choices"
    least = max(spec.steps for spec in small_specs(pair, {of: [Task(REAL[of], "batched")]}, 2, 1))
    cells = {pair: {REAL[of]: {"settings": dict(kind.small)}}}
    tasks, scale = {REAL[of]: {"steps": least}}, {"low": -2000, "high": 500, "source": "none"}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        small_suite.write_suite(Path(folder), segments=2, tasks=tasks, references={REAL[of]: scale}, cells=cells)
        complete, events = small_suite.train_here(Path("results"))
        if not complete:
            return [f"training: {told.message}" for told in small_suite.messages(events, Failed)]
        built = build(["small"], Path("site"))
        shown = Path("site/small.html").read_text()
    arms = {name: arm.role for name, arm in kind.arms.items() if arm.actions in (None, of)}
    said = [f"damaged: {each}" for each in built.damaged]
    code = re.search(r'<pre class="scroll code"[^>]*><code>(.*?)</code>', shown, re.S)
    if kind.__base__ is Learner and not (
        code and code[1].strip()
    ):  # one made of another pair may have no such line itself
        said.append("the page shows no lines in which the arms differ: no line reads a switch as self.<switch>")
    listed = {name: f'<b class="{role}">{name}</b> ({role})' for name, role in arms.items()}
    return said + [f"the page does not show {name}" for name, line in listed.items() if line not in shown]


def policy(pair: str) -> list[str]:
    """What it has learned is a graph of tensors: an ONNX file acts as it does, for one arm of each task."""
    said, draw = [], np.random.default_rng(0)
    for spec in {spec.task: spec for spec in specs(pair)}.values():
        cohort = Cohort(spec, [3])
        state, _ = cohort.segment(cohort.initial(), 1)
        acting = {name: each for name, each in state.items() if not is_replay(name) and name != "diverged_at"}
        made = Policy(spec, cohort.spaces, spec.arm, 3, "laws", acting, "")
        seen = 1.5 * draw.standard_normal((200, *cohort.spaces.observation))
        seen = (seen.clip(0, 1) if cohort.spaces.dtype == "uint8" else seen).astype(cohort.spaces.dtype)
        with tempfile.TemporaryDirectory() as folder:
            try:
                graph.write_onnx(made, Path(folder) / "policy.onnx")
            except InputError as error:
                said.append(f"{spec.arm} on {spec.task}: {error}")
                continue
            far = graph.disagreement(made, Path(folder) / "policy.onnx", seen)
            if not far < 1e-5:
                said.append(
                    f"{spec.arm} on {spec.task}: the ONNX file acts otherwise, by {far:g} of the largest output"
                )
    return said


LAWS = {
    "company": company,
    "resume": resume,
    "at_zero": at_zero,
    "rows": settings_of_rows,
    "device": device,
    "documents": documents,
    "bench": bench,
    "page": page,
    "policy": policy,
}

Behind = Mapping[int, Mapping[str, str]]


def left_behind(spec: Spec, seeds: tuple[int, ...], by_member: str = "{}") -> Behind:
    """By seed: digests of every tensor row of the last state, and of every record. `by_member`: rows of settings as JSON."""
    return _left_behind(json.dumps(spec.to_json()), seeds, by_member)


@functools.cache
def _left_behind(spec: str, seeds: tuple[int, ...], by_member: str) -> Behind:
    cohort = Cohort(Spec(**json.loads(spec)), list(seeds), rows=json.loads(by_member))
    return _followed(cohort, cohort.initial(), range(1, SEGMENTS + 1))


def _followed(cohort: Cohort, state, numbers: range) -> Behind:
    found = {seed: {} for seed in cohort.seeds}
    for number in numbers:
        state, records = cohort.segment(state, number)
        left = {f"{name} of segment {number}": each for name, each in records.items()}
        if number == SEGMENTS:
            left |= {name: each.numpy() for name, each in state.items()}
        for index, seed in enumerate(cohort.seeds):
            found[seed] |= {name: hashlib.sha256(each[index].tobytes()).hexdigest() for name, each in left.items()}
    return found


def _differences(spec: Spec, some: Behind, others: Behind, what: str) -> list[str]:
    """Of the seeds that both have, and of the segments."""
    said, shared = [], [seed for seed in some if seed in others]
    assert shared
    for seed in shared:
        one, other = some[seed], others[seed]
        unequal = [name for name in one.keys() | other.keys() if one.get(name) != other.get(name)]
        unequal = sorted(name for name in unequal if name in one or not re.search(r" of segment [0-9]+$", name))
        if unequal:
            said.append(f"{spec.arm} on {spec.task}: seed {seed} {what}: {', '.join(unequal[:4])} differ")
    return said
