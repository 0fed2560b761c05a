"""The audit: equal for a sound run, different for an altered one, and honest where it cannot say."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from small_suite import CELL, Here, train_here, write_suite

from harness.audit import certificate as audit
from harness.audit import compare, draw
from harness.errors import InputError
from harness.files import ROOT
from harness.plan import identity
from harness.pool.messages import Started
from harness.schema.results import damages, read_cell, records_digests, seal


@pytest.fixture(autouse=True)
def _in_this_process(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(compare, "Pool", Here)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run, trained once."""
    folder = tmp_path_factory.mktemp("trained")
    write_suite(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert train_here(folder / "results")[0]
    return folder


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the finished run, with its suite, for one test: the folder of its cell."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return tmp_path / "results" / CELL


def kept(run):
    return json.loads((run / "audit.json").read_text())


def audited(run, members=None, segments=None, seed=0):
    """(verdict, certificate)"""
    verdict = audit.audit(run, members, segments, seed, 1, lambda event: None)
    return verdict, kept(run)


def forge(run, change):
    """Alter the manifest as someone who knows about the seal."""
    manifest = json.loads((run / "manifest.json").read_text())
    change(manifest)
    manifest["seal"] = seal(manifest)
    (run / "manifest.json").write_text(json.dumps(manifest))


def test_members_trained_again_alone_are_equal(run, fault):
    verdict = audit.audit(run.parent.parent, 3, None, 0, 1, lambda event: None)  # of the suite's folder
    made = kept(run)
    assert verdict == audit.EQUAL == made["verdict"]
    assert len(made["recomputed"]) == 3 and made["steps"] == 3 * 320 and made["differences"] == made["problems"] == []
    assert all(found["differs_at"] is found["differs_in"] is found["reason"] is None for found in made["recomputed"])
    assert any("equal, bit for bit" in line for line in audit.lines(made))
    assert made["machine"]["cpu"] == identity.capability() and made["machine"]["versions"] == identity.versions(
        "batched"
    )
    fault("audit", "drawn members of a sound run", "equal, bit for bit, exit code 0", 3)


def test_the_draw_can_be_repeated_and_depends_on_its_seed(run):
    cells = [read_cell(run)]
    assert draw.draw_members(cells, 2, 5) == draw.draw_members(cells, 2, 5)
    assert len({tuple(draw.draw_members(cells, 2, seed)) for seed in range(20)}) > 1
    assert len(draw.draw_members(cells, 100, 0)) == 4


def test_segments_are_executed_again_from_kept_checkpoints(run, fault):
    verdict, made = audited(run, segments=100)
    assert verdict == audit.EQUAL
    assert {(found["first"], found["last"]) for found in made["recomputed"]} == {(1, 1), (4, 4)}
    assert made["steps"] == 8 * 80
    fault(
        "audit",
        "first segments, and those after a kept checkpoint, of a sound run",
        "equal, bit for bit, exit code 0",
        8,
    )


def test_without_checkpoints_first_segments_remain(run):
    shutil.rmtree(run.parents[2] / ".runs")
    assert {found["last"] for found in audited(run, segments=100)[1]["recomputed"]} == {1}


def test_a_checkpoint_of_other_code_is_not_used(run):
    for path in (run.parents[2] / ".runs").rglob("identity.json"):
        identity = json.loads(path.read_text())
        path.write_text(json.dumps(identity | {"code": "0" * 64}))
    assert {found["last"] for found in audited(run, segments=100)[1]["recomputed"]} == {1}


@pytest.mark.parametrize("column", ["return_sampled", "entropy", "step"])
def test_one_altered_number_is_found_whoever_is_drawn(run, column, fault):
    curves = pd.read_parquet(run / "curves.parquet")
    curves.loc[5, column] += 1 if column == "step" else 1e-12
    curves.to_parquet(run / "curves.parquet", index=False)
    member = f"{curves.loc[5, 'arm']}, seed {curves.loc[5, 'seed']}"
    verdict, made = audited(run, members=1)
    assert verdict == audit.DIFFERENT and [member in problem for problem in made["problems"]] == [True]
    fault("audit", "one altered number in curves.parquet", "found, member named, exit code 3")


def forge_curves(run, row, column, value):
    """Alter one number of the curves as someone who knows about every hash but cannot compute another chain."""
    curves = pd.read_parquet(run / "curves.parquet")
    curves.loc[row, column] = value
    curves.to_parquet(run / "curves.parquet", index=False)
    arm, seed = curves.loc[row, "arm"], str(curves.loc[row, "seed"])
    digest = records_digests(read_cell(run).curves)[arm, int(seed)]
    forge(run, lambda manifest: manifest["members"][arm][seed].__setitem__("records", digest))
    assert damages(read_cell(run)) == []
    return arm, int(seed), int(curves.loc[row, "segment"])


@pytest.mark.parametrize(
    ("column", "value"),
    [("return_sampled", 499.5), ("entropy", float("nan")), ("diverged", True), ("train_episodes", 99)],
)
def test_one_altered_number_under_forged_hashes_is_found_by_training(run, column, value, fault):
    member = forge_curves(run, 5, column, value)
    verdict, made = audited(run, members=4)
    assert verdict == audit.DIFFERENT and made["problems"] == []
    assert [
        (found["arm"], found["seed"], found["differs_at"]) for found in made["recomputed"] if found["differs_at"]
    ] == [member]
    assert any(f"differs from segment {member[2]} on: {column}" in line for line in audit.lines(made))
    fault(
        "audit",
        "one altered number in curves.parquet under forged hashes",
        "found by training the member again, exit code 3",
    )


def test_a_row_that_was_removed_under_forged_hashes_is_found_by_training(run, fault):
    curves = pd.read_parquet(run / "curves.parquet").drop(index=6)
    curves.to_parquet(run / "curves.parquet", index=False)
    digest = records_digests(read_cell(run).curves)["a2c-naive", 1]
    forge(run, lambda manifest: manifest["members"]["a2c-naive"]["1"].__setitem__("records", digest))
    verdict, made = audited(run, members=4)
    assert verdict == audit.DIFFERENT and damages(read_cell(run)) == []
    (found,) = [found for found in made["recomputed"] if found["differs_at"]]
    assert (found["seed"], found["differs_at"], found["differs_in"]) == (1, 3, "0 rows in curves.parquet")
    fault(
        "audit",
        "one row removed from curves.parquet under forged hashes",
        "found by training the member again, exit code 3",
    )


def test_a_divergence_that_never_was_is_found_by_training(run, fault):
    forge(run, lambda manifest: manifest["members"]["a2c-naive"]["1"].__setitem__("diverged_at", 40))
    verdict, made = audited(run, members=4)
    assert verdict == audit.DIFFERENT
    assert [found["differs_in"] for found in made["recomputed"]].count(
        "diverged_at 40 published, -1 here (-1: never)"
    ) == 1
    fault("audit", "a false step of divergence under a forged seal", "found by training the member again, exit code 3")


def test_arms_that_were_relabelled_are_found(run, fault):
    forge(run, lambda manifest: manifest["arms"]["a2c-naive"].update(role="soft", against="a2c-proper"))
    verdict, made = audited(run, members=1)
    assert verdict == audit.DIFFERENT
    assert made["problems"] == ["settings: a2c-naive: role: 'soft' in the run, 'hard' in the pair of this checkout"]
    fault("audit", "a hard arm relabelled as a soft one under a forged seal", "found, the field is said, exit code 3")


def test_a_row_of_a_member_that_never_was_is_found(run, fault):
    curves = pd.read_parquet(run / "curves.parquet")
    pd.concat([curves, curves[curves["seed"] == 0].assign(seed=7)]).to_parquet(run / "curves.parquet", index=False)
    verdict, made = audited(run, members=1)
    assert verdict == audit.DIFFERENT and "seed 7: is not in manifest.json" in made["problems"][0]
    fault("audit", "rows of a member that never was", "found, exit code 3")


def test_one_altered_hash_is_found_by_the_seal(run, fault):
    text = (run / "manifest.json").read_text()
    link = read_cell(run).manifest.members["a2c-naive"]["1"].chain[2]
    (run / "manifest.json").write_text(text.replace(link, "0" + link[1:] if link[0] != "0" else "1" + link[1:]))
    verdict, made = audited(run, members=1)
    assert verdict == audit.DIFFERENT and made["problems"] == ["manifest.json: was altered: it does not match its seal"]
    fault("audit", "one altered hash of the chain", "found by the seal, exit code 3")


def test_one_altered_hash_under_a_forged_seal_is_found_by_training(run, fault):
    forge(run, lambda manifest: manifest["members"]["a2c-naive"]["1"]["chain"].__setitem__(2, "0" * 64))
    verdict, made = audited(run, members=4)
    assert verdict == audit.DIFFERENT and made["problems"] == []
    assert [
        found["differs_at"] for found in made["recomputed"] if (found["arm"], found["seed"]) == ("a2c-naive", 1)
    ] == [3]
    assert sum(found["differs_at"] is not None for found in made["recomputed"]) == 1
    fault(
        "audit",
        "one altered hash of the chain under a forged seal",
        "found by training the member again, segment named, exit code 3",
    )


def test_a_run_made_with_another_setting_than_it_says_is_found(run, fault):
    forge(
        run,
        lambda manifest: [arm["settings"].__setitem__("learning_rate", 0.0015) for arm in manifest["arms"].values()],
    )
    verdict, made = audited(run, members=1)
    assert verdict == audit.DIFFERENT
    assert made["recomputed"][0]["differs_at"] == 1
    fault("audit", "a run made with another setting than it says", "differs from segment 1 on, exit code 3")


def test_a_run_made_with_other_settings_than_its_suite_is_found(run, tmp_path, fault):
    write_suite(tmp_path, cells={"a2c": {"CartPole-v1": {"environments": 4, "hidden": [32, 32], "discount": 0.98}}})
    verdict, made = audited(run, members=1)
    assert verdict == audit.DIFFERENT
    assert made["problems"][0].endswith("settings.discount: 0.99 in the run, 0.98 in the suite of this checkout")
    assert made["recomputed"][0]["differs_at"] is None
    fault("audit", "a run made with another setting than its suite", "found, the field is said, exit code 3")


def test_a_run_made_with_another_pair_file_is_found(run, tmp_path, fault):
    """In a checkout whose pair file reads otherwise: the code is named, and the numbers differ."""
    tree = tmp_path / "checkout"
    for name in ("algorithms", "harness", "suites"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    pair = tree / "algorithms" / "pairs" / "a2c.py"
    text = pair.read_text()
    assert text.count("reward, following") == 1
    pair.write_text(text.replace("reward, following", "1.0001 * reward, following"))
    command = [sys.executable, "-m", "harness", "audit", str(run), "--members", "1", "--workers", "1"]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    assert done.returncode == 3, done.stderr
    assert "code: algorithms/pairs/a2c.py: was" in done.stdout and "differs from segment 1 on" in done.stdout
    fault("audit", "a run made with another pair file", "file named, differs from segment 1 on, exit code 3")


def test_on_another_processor_a_difference_proves_nothing(run, fault):
    def elsewhere(manifest):
        manifest["cpu"]["vendor"] = "Another"
        manifest["members"]["a2c-naive"]["0"]["chain"][0] = "0" * 64

    forge(run, elsewhere)
    verdict, made = audited(run, members=4)
    assert verdict == audit.IMPOSSIBLE and made["differences"][0].startswith("cpu: vendor: was Another, is ")
    fault("audit", "a run that differs, of another processor", "cannot be audited here, exit code 2")


def test_of_members_of_several_processors_those_of_this_one_are_drawn(run, fault):
    def elsewhere(manifest):
        member = manifest["members"]["a2c-naive"]["0"]
        member["cpu"] = manifest["cpu"] | {"vendor": "Another"}
        member["chain"][0] = "0" * 64

    forge(run, elsewhere)
    told = []
    assert audit.audit(run, 4, None, 0, 1, told.append) == audit.EQUAL
    assert told[0].text == "a2c/CartPole-v1: 3 of 4 members are of a processor like this one; of them is drawn"
    made = kept(run)
    assert len(made["recomputed"]) == 3 and made["differences"] == [
        f"cpu: vendor: was Another, is {identity.capability()['vendor']} here"
    ]
    forge(run, lambda manifest: manifest["members"]["a2c-naive"]["1"]["chain"].__setitem__(0, "0" * 64))
    assert audited(run, members=4)[0] == audit.DIFFERENT
    fault("audit", "a run of several processors, altered where it can be compared", "differs, exit code 3")


def test_another_kernel_is_said_before_anything_is_compared(run, fault):
    forge(run, lambda manifest: manifest["cpu"].update(blas="openblas Cooperlake", simd="X86_V2"))
    told = []
    assert audit.audit(run, 1, None, 0, 1, told.append) == audit.EQUAL
    first, second, started = told[:3]
    assert "other arithmetic" in first.text and "cpu: blas: was openblas Cooperlake, is " in first.text
    assert "cpu: simd: was X86_V2, is " in second.text and isinstance(started, Started)
    fault(
        "audit", "a run made with another kernel of numpy's BLAS", "said before it compares; equal where the bits are"
    )


def test_results_that_do_not_say_their_kernel_are_audited_and_it_is_said(run):
    forge(run, lambda manifest: [manifest["cpu"].pop(name) for name in ("blas", "simd")])
    verdict, made = audited(run, members=1)
    assert verdict == audit.EQUAL
    assert [line.partition(", is")[0] for line in made["differences"]] == [
        "cpu: blas: is not recorded",
        "cpu: simd: is not recorded",
    ]


def test_a_code_that_changed_and_gives_the_same_bits_is_said_and_equal(run, fault):
    forge(run, lambda manifest: manifest["code"]["files"].__setitem__("algorithms/maxent.py", "0" * 64))
    verdict, made = audited(run, members=1)
    assert verdict == audit.EQUAL and made["differences"][0].startswith("code: algorithms/maxent.py: was 0000")
    fault("audit", "a run of code that changed since and gives the same bits", "equal, the file is named, exit code 0")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda manifest: manifest.__setitem__("device", "cuda (H200)"), "only results of the CPU can be audited"),
        (lambda manifest: manifest["members"].__setitem__("other", {}), "arm 'other' is unknown"),
        (lambda manifest: manifest["members"]["a2c-naive"].__setitem__("../0", {"chain": []}), r"members\.a2c-naive"),
        (lambda manifest: manifest.pop("segments"), "segments: is missing"),
        (lambda manifest: manifest.__setitem__("steps", "320"), "steps: must be a whole number"),
        (lambda manifest: manifest.pop("versions"), "versions: is missing"),
        (lambda manifest: manifest["code"].__setitem__("files", []), "code.files: must be a table"),
        (lambda manifest: manifest.pop("pair"), "pair: is missing"),
        (lambda manifest: manifest["arms"].pop("a2c-naive"), "arm 'a2c-naive' is unknown"),
        (lambda manifest: manifest["members"].__setitem__("a2c-naive", []), r"members\.a2c-naive: must be"),
        (lambda manifest: manifest["members"]["a2c-naive"].__setitem__("1", None), r"members\.a2c-naive\.1: must be"),
        (
            lambda manifest: manifest["members"]["a2c-naive"]["1"].__setitem__("chain", {}),
            "members.a2c-naive.1.chain: must be a list",
        ),
        (
            lambda manifest: manifest["arms"]["a2c-naive"]["settings"].__setitem__("hidden", [0]),
            r"settings\.hidden\.0: must be at least 1 \(got 0\)$",
        ),
        (lambda manifest: manifest.__setitem__("pair", "../../a2c"), "unknown pair"),
        (lambda manifest: manifest["environment"].__setitem__("backend", "os"), "backend"),
    ],
)
def test_what_cannot_be_audited_is_said_in_a_line(run, change, message, fault):
    forge(run, change)
    with pytest.raises(InputError, match=message):
        audited(run, members=1)
    fault(
        "malicious",
        "manifest.json under a forged seal, for the audit: fields missing or of another type",
        "refused, the field is said",
    )


def test_no_run_is_said(tmp_path):
    with pytest.raises(InputError, match="no finished run is there"):
        audit.audit(Path("nowhere"), 1, None, 0, 1, lambda event: None)


def test_a_stronger_certificate_is_kept_and_a_difference_never_hidden(run):
    _, strong = audited(run, members=4)
    told = []
    assert audit.audit(run, None, 1, 3, 1, told.append) == audit.EQUAL
    assert kept(run) == strong and "is kept: it recomputed more (1,280 steps" in told[-1].text
    curves = pd.read_parquet(run / "curves.parquet")
    whole = (run / "curves.parquet").read_bytes()
    curves.loc[0, "return_sampled"] += 1
    curves.to_parquet(run / "curves.parquet")
    assert audited(run, segments=1)[0] == audit.DIFFERENT == kept(run)["verdict"]
    (run / "curves.parquet").write_bytes(whole)
    assert audited(run, members=4)[0] == audit.EQUAL == kept(run)["verdict"]


def test_results_without_a_seal_are_told_again_and_again(run):
    manifest = json.loads((run / "manifest.json").read_text())
    del manifest["seal"]
    (run / "manifest.json").write_text(json.dumps(manifest))
    for _ in range(2):
        verdict, made = audited(run, members=1)
        assert verdict == audit.DIFFERENT == made["verdict"] and made["seal"] is None


def test_a_run_at_another_budget_is_audited_as_what_it_is(run):
    assert train_here(Path("results"), steps=160, arms=["a2c-naive"])[0]
    other = Path("results/small@160/a2c/CartPole-v1")
    assert read_cell(other).manifest.suite == "small@160"
    assert audited(other, members=1) == (audit.EQUAL, kept(other))
    assert read_cell(run).manifest.steps == 320, "the suite's own results stay"


def test_a_damaged_cell_does_not_stop_the_audit_of_another(run):
    damaged = run.parent / "Acrobot-v1"
    damaged.mkdir()
    (damaged / "manifest.json").write_text("{")
    told = []
    assert audit.audit(run.parent, 1, None, 0, 1, told.append) == audit.IMPOSSIBLE
    assert told[0].text.startswith("cannot be audited: ") and "Acrobot-v1" in told[0].text
    assert kept(run)["verdict"] == audit.EQUAL
