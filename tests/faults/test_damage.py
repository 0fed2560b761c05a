"""Checkpoints that are flipped, cut, lengthened or mixed up: detected, the generation before is used and said; both broken is an error."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest
from disk import CELL, SEGMENTS, check, go_on, make_row, no_row_twice_or_missing, softbench, write_small
from small_suite import stable_files

from harness.store.members import Member, Progress, fingerprint

KINDS = ("segment-00004.json", "segment-00004.safetensors", "replay-00004.safetensors")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A cohort's folder with one finished member."""
    folder = tmp_path_factory.mktemp("whole")
    go_on(Member(folder, 0))
    return folder


def damages(blob, draw, every):
    """(what, damaged bytes): flips in the first bytes, the header, the middle and the end, cuts, and more."""
    places = [*range(12), *range(len(blob) - 12, len(blob)), *(draw.randrange(len(blob)) for _ in range(60))]
    for place in range(0, len(blob), max(1, len(blob) // 4000)) if every else places:
        changed = bytearray(blob)
        changed[place] ^= 1 << draw.randrange(8)
        yield "flip", bytes(changed)
    for length in {0, 1, 7, 8, 9, len(blob) // 2, len(blob) - 1, *(draw.randrange(len(blob)) for _ in range(10))}:
        yield "cut", blob[:length]
    yield "lengthened", blob + b"\0"
    yield "zeros", bytes(len(blob))
    yield "doubled", blob * 2
    start = draw.randrange(len(blob) - 8)
    yield "a lost sector", blob[:start] + bytes(min(512, len(blob) - start)) + blob[start + 512 :]


def try_all(whole, tmp_path, capfd, kind, every):
    """Every damage to one file of the last generation: how many."""
    copy, count = tmp_path / "copy", 0
    shutil.copytree(whole, copy)
    path = copy / "seed-0" / kind
    blob = path.read_bytes()
    for what, damaged in damages(blob, random.Random(kind), every):
        if damaged == blob:
            continue
        path.write_bytes(damaged)
        capfd.readouterr()
        assert check(Member(copy, 0)) == SEGMENTS - 1, what
        assert (
            "segment 4 is damaged" in (told := capfd.readouterr().err)
            and "using the one before" in told
            and told.count("\n") == 1
        )
        if kind.endswith("json"):
            assert len(Member(copy, 0).load(with_state=False)[1].chain) == SEGMENTS - 1
        count += 1
    assert go_on(Member(copy, 0)) == Member(whole, 0).load()[1].chain
    assert check(Member(copy, 0)) == SEGMENTS
    return count


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_found_and_the_generation_before_is_used(whole, tmp_path, capfd, fault, kind):
    count = try_all(whole, tmp_path, capfd, kind, every=False)
    fault(
        "damage",
        f"flips, cuts and more in {kind.replace('00004', 'N')}",
        "found, said, generation before used, same hash",
        count,
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_damage_at_any_byte_is_found(whole, tmp_path, capfd, fault, kind):
    count = try_all(whole, tmp_path, capfd, kind, every=True)
    fault(
        "damage",
        f"flips at up to 4,000 places of {kind.replace('00004', 'N')}",
        "found, said, generation before used, same hash",
        count,
    )


def test_both_generations_damaged_is_an_error(whole, tmp_path, fault):
    draw, count = random.Random(3), 0
    for first in KINDS:
        for second in ("segment-00003.json", "segment-00003.safetensors", "replay-00003.safetensors"):
            copy = tmp_path / f"{first}-{second}"
            shutil.copytree(whole, copy)
            for name in (first, second):
                path = copy / "seed-0" / name
                blob = bytearray(path.read_bytes())
                blob[draw.randrange(len(blob))] ^= 16
                path.write_bytes(blob)
            with pytest.raises(OSError, match="no checkpoint is whole; remove the folder"):
                Member(copy, 0).load()
            count += 1
    fault("damage", "both generations", "error, never a silent start from nothing", count)


def needed(cohort, number):
    """The replay files that a generation names."""
    return set(json.loads((cohort / "seed-0" / f"segment-0000{number}.json").read_text())["replay"])


def test_replay_files_are_kept_as_long_as_a_generation_needs_them(whole):
    assert needed(whole, 3) - needed(whole, 4) == {"1"}
    kept = {str(int(path.stem.removeprefix("replay-"))) for path in (whole / "seed-0").glob("replay-*")}
    assert kept == needed(whole, 3) | needed(whole, 4)
    copy = Member(whole.parent / "one more", 0)
    shutil.copytree(whole, copy.folder.parent)
    row, record = make_row(SEGMENTS)
    progress = copy.load()[1]
    copy.save(
        row, Progress([*progress.records, record], [*progress.chain, fingerprint(progress.chain[-1], row, record)])
    )
    assert (
        not (copy.folder / "replay-00001.safetensors").exists()
        and not (copy.folder / "replay-00005.safetensors").exists()
    )
    assert len(copy.load()[1].chain) == SEGMENTS + 1


def test_a_block_that_both_generations_need_is_an_error_too(whole, tmp_path, fault):
    shared = sorted(set.intersection(*(needed(whole, number) for number in (3, 4))))
    for file in shared:
        copy = tmp_path / file
        shutil.copytree(whole, copy)
        path = copy / "seed-0" / f"replay-0000{file}.safetensors"
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(OSError, match="no checkpoint is whole"):
            Member(copy, 0).load()
    assert shared
    fault("damage", "a replay file that both generations need", "error, never a silent start from nothing", len(shared))


def test_files_that_were_removed_or_exchanged_are_found(whole, tmp_path, capfd, fault):
    count = 0
    for kind in KINDS:
        for how in ("removed", "of the generation before", "of another kind"):
            if (kind, how) == (KINDS[0], "removed"):
                continue  # it comes last: without it there is no such generation
            copy = tmp_path / str(count)
            shutil.copytree(whole, copy)
            path = copy / "seed-0" / kind
            path.unlink()
            if how != "removed":
                other = kind.replace("4", "3") if "before" in how else KINDS[(KINDS.index(kind) + 1) % 3]
                shutil.copyfile(whole / "seed-0" / other, path)
            assert check(Member(copy, 0)) == SEGMENTS - 1
            assert "segment 4 is damaged" in capfd.readouterr().err
            count += 1
    for path in (copy := Path(shutil.copytree(whole, tmp_path / "gone"))).rglob("*.json"):
        path.unlink()
    with pytest.raises(OSError, match="no checkpoint is whole"):
        Member(copy, 0).load()
    fault(
        "damage", "files removed or exchanged", "found, generation before used; an error where none is left", count + 1
    )


def test_a_run_with_a_damaged_checkpoint_says_so_and_ends_with_the_same_bytes(tmp_path, monkeypatch, capsys, fault):
    monkeypatch.chdir(tmp_path)
    write_small(tmp_path)
    assert softbench(Path("whole")) == 0 and (Path("whole") / CELL / "episodes.json").exists()
    for name in ("segment-00003.json", "segment-00003.safetensors"):
        out = Path(shutil.copytree("whole", f"out-{name}"))
        shutil.rmtree(out / "small")
        for path in out.rglob(name):
            path.write_bytes(path.read_bytes()[:-1] + b"\xff")
        assert softbench(out) == 0
        said = capsys.readouterr().err
        if name.endswith("json"):  # where records and chain are
            assert said.count("segment 3 is damaged") >= 2
        else:  # a finished member needs no state but for its pictures
            assert not (out / CELL / "episodes.json").exists()
        assert stable_files(out, CELL) == stable_files(Path("whole"), CELL)
        no_row_twice_or_missing(out)
    out = Path(shutil.copytree("whole", "both"))
    shutil.rmtree(out / "small")
    for path in out.rglob("segment-*.json"):
        path.write_bytes(b"")
    assert softbench(out) == 1
    told = capsys.readouterr()
    assert "no checkpoint is whole; remove the folder" in told.out + told.err
    fault(
        "damage",
        "a run whose last, or every, checkpoint is damaged",
        "goes on with the same bytes; exit code 1 where none is whole",
        3,
    )
