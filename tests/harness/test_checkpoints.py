"""Checkpoints: whole or not there, the last two kept, a damaged one said, one process a folder."""

from __future__ import annotations

import errno
import fcntl
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from small_suite import wait_until

from harness.errors import InputError
from harness.files import locked
from harness.store import members as checkpoints
from harness.store.members import Member, Progress, fingerprint, rows, stack


def make_state(number):
    generator = torch.Generator().manual_seed(number)
    return {
        "parameters": torch.randn(2, 7, generator=generator),
        "count": torch.tensor([number, -number]),
        "diverged_at": torch.tensor([-1, 40]),
        "mean": torch.randn(2, 3, dtype=torch.float64, generator=generator),
        "full": torch.tensor([True, False]),
    }


def save_segments(member, count):
    """Segments 1 to `count` of member 0; its progress after each."""
    progress = Progress()
    for number in range(1, count + 1):
        row, record = next(
            rows(make_state(number), {"segment": np.array([number, number]), "loss": np.array([0.1 * number, np.nan])})
        )
        progress = Progress(
            [*progress.records, record],
            [*progress.chain, fingerprint(progress.chain[-1] if progress.chain else "", row, record)],
        )
        member.save(row, progress)
    return progress


def test_a_member_comes_back_bit_for_bit(tmp_path):
    states = make_state(5)
    entries = list(
        rows(
            states, {"segment": np.array([1, 1]), "loss": np.array([0.1, np.nan]), "diverged": np.array([False, True])}
        )
    )
    for seed, (row, record) in enumerate(entries):
        Member(tmp_path, seed).save(row, Progress([record], [fingerprint("", row, record)]))
    loaded = [Member(tmp_path, seed).load() for seed in (0, 1)]
    back = stack([state for state, _ in loaded], torch.device("cpu"))
    assert back.keys() == states.keys()
    for name, tensor in states.items():
        assert back[name].dtype == tensor.dtype and torch.equal(back[name], tensor), name
    for (row, record), (state, progress) in zip(entries, loaded, strict=True):
        assert progress.chain == [fingerprint("", row, record)] == [fingerprint("", state, progress.records[0])]
        assert progress.records[0]["segment"] == 1 and isinstance(progress.records[0]["segment"], int)
    assert np.isnan(loaded[1][1].records[0]["loss"]) and loaded[1][1].records[0]["diverged"] is True


def test_the_fingerprint_sees_every_bit():
    row, record = next(rows(make_state(1), {"loss": np.array([0.1, 0.2])}))
    links = [
        fingerprint("", row, record),
        fingerprint("x", row, record),
        fingerprint("", row, {"loss": np.nextafter(0.1, 1)}),
    ]
    for name, tensor in row.items():
        changed = tensor.clone()
        flat = changed.view(-1).view(torch.uint8)
        flat[-1] ^= 1
        links.append(fingerprint("", row | {name: changed}, record))
    links.append(fingerprint("", row | {"parameters": row["parameters"].view(1, 7)}, record))
    links.append(
        fingerprint("", {("other" if name == "mean" else name): tensor for name, tensor in row.items()}, record)
    )
    assert len(set(links)) == len(links)


def test_the_last_two_segments_are_kept(tmp_path):
    member = Member(tmp_path, 3)
    assert member.load() == ({}, Progress())
    save_segments(member, 5)
    names = [f"segment-0000{number}.{suffix}" for number in (4, 5) for suffix in ("json", "safetensors")]
    assert sorted(path.name for path in (tmp_path / "seed-3").iterdir()) == names


@pytest.mark.parametrize("suffix", ["json", "safetensors"])
@pytest.mark.parametrize("how", ["cut", "flip", "empty", "gone", "list"])
def test_a_damaged_checkpoint_is_said_and_the_one_before_is_used(tmp_path, capsys, suffix, how):
    if (suffix, how) == ("json", "gone"):
        pytest.skip("the JSON file comes last: without it there is no checkpoint")
    member = Member(tmp_path, 0)
    whole = save_segments(member, 3)
    path = tmp_path / "seed-0" / f"segment-00003.{suffix}"
    content = path.read_bytes()
    if how == "gone":
        path.unlink()
    else:
        middle = len(content) - 5
        changed = {
            "cut": content[:-1],
            "flip": content[:middle] + bytes([content[middle] ^ 128]) + content[middle + 1 :],
            "empty": b"",
            "list": b"[1]",
        }
        path.write_bytes(changed[how])
    _, progress = member.load()
    assert progress.chain == whole.chain[:2]
    told = capsys.readouterr().err
    assert "the checkpoint of segment 3 is damaged" in told and "using the one before" in told and str(tmp_path) in told


def test_where_none_is_whole_training_does_not_start_again(tmp_path):
    save_segments(Member(tmp_path, 0), 3)
    for path in (tmp_path / "seed-0").glob("*.safetensors"):
        path.write_bytes(b"damaged")
    with pytest.raises(OSError, match="no checkpoint is whole; remove the folder"):
        Member(tmp_path, 0).load()


def test_a_killed_or_failed_write_leaves_a_whole_checkpoint(tmp_path, monkeypatch):
    """The write stops at the Nth rename, for every N: what is loaded is always the last whole segment."""
    for failing in range(1, 9):
        member, done, left = Member(tmp_path / str(failing), 0), [], [failing]

        class Stopping(checkpoints.replacing):
            def __exit__(self, kind, *rest, left=left):
                left[0] -= 1
                if left[0] == 0:
                    raise OSError(errno.ENOSPC, "No space left on device")
                super().__exit__(kind, *rest)

        with monkeypatch.context() as patch:
            patch.setattr(checkpoints, "replacing", Stopping)
            patch.setattr(
                Member, "save", lambda self, *a, done=done, original=Member.save: (original(self, *a), done.append(1))
            )
            with pytest.raises(OSError, match="space"):
                save_segments(member, 4)
        assert len(done) == (failing - 1) // 2
        state, progress = member.load()
        assert len(progress.chain) == len(done)
        if done:
            assert torch.equal(state["parameters"], make_state(len(done))["parameters"][0])
        assert save_segments(member, 4).chain == member.load()[1].chain


HOLDER = """
import fcntl, sys, time
handle = open(sys.argv[1] + "/lock", "w")
fcntl.flock(handle, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(600)
"""


def test_a_second_process_is_refused_and_a_dead_holder_is_not_waited_for(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="another process is training here"), locked(tmp_path):
            pass
    finally:
        holder.kill()
        holder.wait()
    with locked(tmp_path):
        pass
    with locked(tmp_path), open(tmp_path / "lock") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_lock_is_not_inherited_by_a_worker_that_outlives_its_parent(tmp_path):
    with locked(tmp_path):
        child = subprocess.Popen(
            [sys.executable, "-c", "import sys; print(1, flush=True); sys.stdin.read()"], stdin=-1, stdout=-1
        )
        child.stdout.readline()
    with locked(tmp_path):
        assert child.poll() is None
    child.stdin.close()
    wait_until(lambda: child.poll() is not None)


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written: Not a directory"), locked(tmp_path / "file" / "x"):
        pass


def test_nothing_but_json_and_safetensors_is_written(tmp_path):
    save_segments(Member(tmp_path, 0), 1)
    content = json.loads((tmp_path / "seed-0" / "segment-00001.json").read_text())
    assert content.keys() == {"records", "chain", "sha256", "blocks", "replay", "seal"}
    header = (tmp_path / "seed-0" / "segment-00001.safetensors").read_bytes()
    assert json.loads(header[8 : 8 + int.from_bytes(header[:8], "little")])["parameters"]["shape"] == [7]
