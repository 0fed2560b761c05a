"""What is left to do: jobs of whole cohorts, cut into shards that keep every worker busy, where there is room for what they write."""

from __future__ import annotations

import errno
import math
import shutil
from dataclasses import replace

import torch

from harness.errors import InputError
from harness.files import make_folder, replacing
from harness.plan.cells import Plan
from harness.plan.identity import capability, difference
from harness.pool.messages import Job, Row
from harness.store import cohorts
from harness.store.members import Member

MEBIBYTE = 2**20
MOST = 80
"""Members of a shard: more at once hardly learn faster (160 on CartPole by 3 to 6 %), and fill the memory."""


def jobs_of(plan: Plan) -> tuple[list[Job], list[str]]:
    """A job for each arm of which a seed is not finished, all points of its grid together, and notes on checkpoints of other versions.

    Takes the folders of the cohorts. Raises InputError where one belongs to another version.
    """
    jobs: dict[str, Job] = {}
    notes = []
    for arm in plan.arms:
        seeds, spec = plan.wanted(arm), plan.specs[arm]
        if not seeds:
            continue
        folder = plan.cohort_folder(arm)
        files = plan.code["files"] | plan.code.get("module", {})
        identity = {"code.files": files, **plan.identity(arm)}  # a file says more than the hash of all
        if note := cohorts.left_alone(folder, identity):
            notes.append(f"{plan.name} {arm}: {note}")
        cohorts.take(folder, identity)
        point = {name: spec.settings[name] for name in plan.grid}
        job = jobs.setdefault(spec.arm, Job(plan.name, spec, [], plan.device, identity))
        job.rows.extend(Row(arm, seed, folder, point) for seed in seeds)
    if jobs and plan.existing and (found := difference(plan.existing.manifest.cpu, capability(), "cpu")):
        notes.append(f"{plan.name}: members are added on another processor than that of those that are there: {found}")
    return [job for job in jobs.values() if steps_left(job)], notes


def steps_left(job: Job) -> int:
    """Environment steps that the job's members have to take yet."""
    spec = job.spec
    done = [len(Member(row.folder, row.seed).load(with_state=False)[1].chain) for row in job.rows]
    return sum(spec.steps * (spec.segments - count) // spec.segments for count in done)


def shards(jobs: list[Job], workers: int) -> list[Job]:
    """Split cohorts by members into as few shards as keep every worker busy to the end: many members at once learn faster.

    Whole cohorts in full rounds, and those that are left over are split; none has more than MOST members.
    """
    whole = len(jobs) - len(jobs) % workers
    parts = workers // math.gcd(workers, len(jobs) - whole)
    found: list[Job] = []
    for number, job in enumerate(jobs):
        count = min(len(job.rows), max(1 if number < whole else parts, math.ceil(len(job.rows) / MOST)))
        for part in range(count):
            device = job.device
            if device == "cuda":
                device = f"cuda:{len(found) % torch.cuda.device_count()}"
            found.append(replace(job, rows=job.rows[part::count], device=device))
    return found


def check_space(plan: Plan) -> None:
    """Refuse to start where the folders cannot be written or little space is left, before hours are spent."""
    for folder in (plan.folder, plan.runs):
        try:
            make_folder(folder)
            with replacing(folder / "writable") as path:
                path.write_bytes(b"softbench")
            (folder / "writable").unlink()
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            what = "no space is left on the device" if full else error.strerror
            raise InputError(f"--out: {folder}: cannot be written: {what}") from error
    free = shutil.disk_usage(plan.runs).free
    if free < 64 * MEBIBYTE:
        raise InputError(f"--out: {plan.runs}: only {free // MEBIBYTE} MiB of space left; at least 64 MiB are needed")
