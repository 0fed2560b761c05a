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
from harness.pool.messages import Job
from harness.store import cohorts
from harness.store.members import Member

MEBIBYTE = 2**20


def jobs_of(plan: Plan) -> tuple[list[Job], list[str]]:
    """A job for each arm of which a seed is not finished, and notes on checkpoints of other versions.

    Takes the folders of the cohorts. Raises InputError where one belongs to another version.
    """
    jobs, notes = [], []
    for arm in plan.arms:
        seeds = plan.wanted(arm)
        if not seeds:
            continue
        folder = plan.cohort_folder(arm)
        files = plan.code["files"] | plan.code.get("module", {})
        identity = {"code.files": files, **plan.identity(arm)}  # a file says more than the hash of all
        if note := cohorts.left_alone(folder, identity):
            notes.append(f"{plan.name} {arm}: {note}")
        cohorts.take(folder, identity)
        job = Job(plan.name, plan.specs[arm], seeds, folder, plan.device, identity)
        if steps_left(job):
            jobs.append(job)
    return jobs, notes


def steps_left(job: Job) -> int:
    """Environment steps that the job's members have to take yet."""
    spec = job.spec
    done = [len(Member(job.folder, seed).load(with_state=False)[1].chain) for seed in job.seeds]
    return sum(spec.steps * (spec.segments - count) // spec.segments for count in done)


def shards(jobs: list[Job], workers: int) -> list[Job]:
    """Split each cohort by members into as few shards as keep every worker busy to the end."""
    parts = workers // math.gcd(workers, len(jobs)) if 0 < len(jobs) < 2 * workers else 1
    found: list[Job] = []
    for job in jobs:
        count = min(parts, len(job.seeds))
        for part in range(count):
            device = job.device
            if device == "cuda":
                device = f"cuda:{len(found) % torch.cuda.device_count()}"
            found.append(replace(job, seeds=job.seeds[part::count], device=device))
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
