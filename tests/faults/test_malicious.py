"""Input that was made to do harm: refused or inert, in bounded memory."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import shutil
import struct
import subprocess
import sys
import time
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import yaml
from disk import CELL, SEGMENTS, check, go_on, make_row, softbench, write_small
from safetensors.torch import load_file, save
from small_suite import SUITE, write_suite

from harness.errors import InputError, ResultsError
from harness.schema.manifest import Manifest
from harness.schema.results import read_cell, write_cell
from harness.schema.suite import load_suite
from harness.store import members as checkpoints
from harness.store.members import Member, layout, stack
from reports.site.site import build

EXPECTED = layout(stack([make_row(SEGMENTS)[0]], torch.device("cpu")))
HOSTILE = "<script>alert(1)</script>\"'&<img src=x onerror=a>"


class Boom:
    """Leaves a file where it is unpickled."""

    def __reduce__(self):
        return (os.mkdir, ("unpickled",))


@pytest.fixture
def member(tmp_path, monkeypatch):
    """A finished member in an own folder."""
    monkeypatch.chdir(tmp_path)
    go_on(Member(tmp_path, 0))
    return Member(tmp_path, 0)


def rewrite(member, change, number=SEGMENTS):
    """Change the JSON of a generation, with a checksum that is right."""
    path = member.folder / f"segment-{number:05d}.json"
    content = json.loads(path.read_text())
    del content["seal"]
    change(content)
    path.write_bytes(checkpoints._sealed(content))


def put(member, name, blob):
    """Replace a file of the last generation, with checksums that are right."""
    (member.folder / f"{name}-00004.safetensors").write_bytes(blob)
    checksum = hashlib.sha256(blob).hexdigest()
    rewrite(
        member,
        lambda content: (
            content["replay"].update({"4": checksum}) if name == "replay" else content.update(sha256=checksum)
        ),
    )


def refused(member, capfd, message):
    """The last generation is refused with a line that says why, and the one before is used."""
    capfd.readouterr()
    state, progress = member.load(expected=EXPECTED)
    told = capfd.readouterr().err
    assert len(progress.chain) == SEGMENTS - 1 and state.keys() == EXPECTED.keys()
    assert re.search(message, told), told
    assert told.count("\n") == 1 and len(told) < 600
    assert not Path("unpickled").exists()


def tensors(member):
    return load_file(member.folder / "segment-00004.safetensors")


WELL_FORMED = {
    "a shape": (
        lambda t: t | {"parameters": t["parameters"][:3]},
        r"parameters: torch.float32 \[3\], the learner expects torch.float32 \[40\]",
    ),
    "a type": (
        lambda t: t | {"parameters": t["parameters"].double()},
        r"parameters: torch.float64 \[40\], the learner expects",
    ),
    "a missing name": (
        lambda t: {"parameters": t["parameters"]},
        "diverged_at: nothing, the learner expects torch.int64",
    ),
    "a name more": (
        lambda t: t | {"<b>x": t["parameters"].clone()},
        "<b>x: torch.float32 .*, the learner expects nothing",
    ),
    "a name of a path": (
        lambda t: t | {"../../x": t["parameters"].clone()},
        "../../x: .*, the learner expects nothing",
    ),
    "a replay buffer twice": (
        lambda t: t | {"replay.more": torch.zeros(5)},
        "replay.more: .*, the learner expects nothing",
    ),
    "other numbers": (lambda t: t | {"parameters": t["parameters"] + 1}, "the state is not that of the hash chain"),
    "a NaN": (lambda t: t | {"parameters": t["parameters"] * float("nan")}, "the state is not that of the hash chain"),
    "nothing at all": (lambda t: {}, "the learner expects"),
    "far more data": (lambda t: t | {"x": torch.zeros(10**6)}, "bytes; at most"),
}


@pytest.mark.parametrize("case", WELL_FORMED)
def test_a_well_formed_file_of_another_layout_is_refused(member, capfd, fault, case):
    change, message = WELL_FORMED[case]
    put(member, "segment", save({name: tensor.contiguous() for name, tensor in change(tensors(member)).items()}))
    refused(member, capfd, message)
    fault(
        "malicious",
        "safetensors of other names, shapes, types, numbers, with a right checksum",
        "refused, the field is said",
    )


def huge_header(length):
    return struct.pack("<Q", length) + b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}' + bytes(4)


def header(**fields):
    text = json.dumps({"parameters": {"dtype": "F32", "shape": [40], "data_offsets": [0, 160]} | fields}).encode()
    return struct.pack("<Q", len(text)) + text + bytes(160)


FORGED = {
    "a pickle": pickle.dumps(Boom()),
    "a torch file": b"PK\x03\x04" + bytes(100),
    "a header of 2**63 bytes": huge_header(2**63),
    "a header of 1 TB": huge_header(2**40),
    "a header longer than the file": huge_header(1000),
    "a huge shape": header(shape=[2**40, 2**20]),
    "a negative shape": header(shape=[-40]),
    "offsets beyond the file": header(data_offsets=[0, 2**50], shape=[2**48]),
    "an unknown type": header(dtype="OBJECT"),
    "a header nested deeply": struct.pack("<Q", 200_000) + b"[" * 200_000,
    "an empty file": b"",
}


@pytest.mark.parametrize("kind", ["segment", "replay"])
@pytest.mark.parametrize("case", FORGED)
def test_a_forged_safetensors_file_is_refused(member, capfd, fault, kind, case):
    put(member, kind, FORGED[case])
    refused(member, capfd, "segment 4 is damaged")
    fault("malicious", f"forged .safetensors: {case}", "refused, nothing executed")


def deep(depth):
    return checkpoints._sealed({}).replace(b"{", b'{"a": ' + b"[" * depth, 1)


JSONS = {
    "../ as a file": (lambda c: c.update(replay={"../../etc/passwd": "0" * 64}), "replay: is no table of files"),
    "../ in a block": (lambda c: c["blocks"].__setitem__(0, ["../x", "../x"]), "blocks: is no list"),
    "an absolute path in a block": (lambda c: c["blocks"][0].__setitem__(1, "/etc/passwd"), "blocks: is no list"),
    "a block of no file": (
        lambda c: c["blocks"][0].__setitem__(0, "0" * 64),
        "a block of the replay buffer is missing",
    ),
    "far too many blocks": (
        lambda c: c.update(blocks=c["blocks"][:1] * 500_000),
        "500000 blocks of a replay buffer, which the learner",
    ),
    "a file of blocks only": (
        lambda c: c.update(blocks=c["blocks"][:1] * 1_000_000),
        "bytes; at most 67,108,864 are expected",
    ),
    "no blocks": (lambda c: c.update(blocks=[]), "replay.action: nothing, the learner expects"),
    "blocks in another order": (lambda c: c["blocks"].reverse(), "the learner expects|not that of the hash chain"),
    "one record more": (lambda c: c["records"].append(c["records"][-1]), "records: are not 4"),
    "records that are text": (
        lambda c: c["records"].__setitem__(0, {"step": HOSTILE}),
        "records: are not 4 of numbers",
    ),
    "records nested": (lambda c: c["records"].__setitem__(0, [[[1]]]), "records: are not 4 of numbers"),
    "a chain of text": (lambda c: c["chain"].__setitem__(0, HOSTILE), "chain: is not one of 4 hashes"),
    "a link altered": (lambda c: c["chain"].__setitem__(3, "0" * 64), "not that of the hash chain"),
    "a record altered": (lambda c: c["records"][3].update(step=1), "not that of the hash chain"),
    "no chain": (lambda c: c.pop("chain"), "chain: is not one of 4 hashes"),
    "a checksum of another type": (lambda c: c.update(sha256=[1]), "checksum differs"),
}


@pytest.mark.parametrize("case", JSONS)
def test_a_forged_checkpoint_json_is_refused(member, capfd, fault, case):
    change, message = JSONS[case]
    rewrite(member, change)
    refused(member, capfd, message)
    fault("malicious", f"checkpoint JSON with a right checksum: {case}", "refused, the field is said")


def test_deeply_nested_json_is_refused(member, capfd, fault):
    path = member.folder / "segment-00004.json"
    text = b"[" * 500_000
    path.write_bytes(text + checkpoints.SEAL + hashlib.sha256(text).hexdigest().encode() + b'"}')
    refused(member, capfd, "damaged")
    text = b'{"a": ' + b"[" * 500_000 + b"]" * 500_000
    path.write_bytes(text + checkpoints.SEAL + hashlib.sha256(text).hexdigest().encode() + b'"}')
    refused(member, capfd, "nested too deeply")
    fault("malicious", "checkpoint JSON nested 500,000 deep", "refused", 2)


@pytest.mark.parametrize("name", ["segment-00004.json", "segment-00004.safetensors", "replay-00004.safetensors"])
def test_links_pipes_and_devices_are_not_read(member, capfd, fault, name):
    path = member.folder / name
    original = path.read_bytes()
    elsewhere = member.folder.parent / "elsewhere"
    elsewhere.write_bytes(original)
    makers = {
        "symlink": lambda: path.symlink_to(elsewhere),
        "symlink to itself": lambda: path.symlink_to(path),
        "symlink to /dev/zero": lambda: path.symlink_to("/dev/zero"),
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
    }
    for what, make in makers.items():
        path.unlink() if path.is_symlink() or path.is_file() else None
        make()
        refused(member, capfd, "symbolic links|no plain file|Is a directory")
        if what == "folder":
            path.rmdir()
        else:
            path.unlink()
        fault("malicious", f"{what} in place of a checkpoint's file", "refused")


def test_a_members_folder_that_is_a_link_is_refused(member, fault, tmp_path):
    shutil.move(member.folder, tmp_path / "elsewhere")
    member.folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="is a symbolic link"):
        member.load()
    fault("malicious", "symlink in place of a member's folder", "error")


def test_links_in_a_run_folder_write_nowhere_else(tmp_path, monkeypatch, capsys, fault):
    monkeypatch.chdir(tmp_path)
    write_small(tmp_path)
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    runs = Path("out/.runs/small/dqn/CartPole-v1")
    runs.mkdir(parents=True)
    (runs / "lock").symlink_to(victim)
    assert softbench(Path("out")) == 2 and "cannot be written" in capsys.readouterr().err
    (runs / "lock").unlink()
    for name in ("manifest.json", "curves.parquet", ".writable.1.tmp"):
        (Path("out") / CELL).mkdir(parents=True, exist_ok=True)
        (Path("out") / CELL / name).symlink_to(victim)
    assert softbench(Path("out")) == 2  # no results that can be read
    for path in (Path("out") / CELL).iterdir():
        path.unlink()
    (Path("out") / CELL / "curves.parquet").symlink_to(victim)
    assert softbench(Path("out")) == 0 and not (Path("out") / CELL / "curves.parquet").is_symlink()
    assert victim.read_text() == "untouched"
    fault(
        "malicious",
        "symlinks in place of lock, results and temporary files",
        "refused or replaced; their targets are untouched",
        5,
    )


NAMES = "abcdefghijklmnopqrstuvwxyz"
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"{n}: &{n} [{','.join([f'*{p}'] * 9)}]\n" for p, n in pairwise(NAMES))
YAMLS = {
    "billion laughs": BOMB,
    "merge keys that double": "a: &a {x: 1}\nb: &b {<<: [*a, *a]}\n",
    "a python tag": "name: !!python/object/apply:os.mkdir [unpickled]\n",
    "a python module": "name: !!python/module:os\n",
    "a python name": "name: !!python/name:os.system\n",
    "a python tuple": "name: !!python/tuple [1]\n",
    "an unknown tag": "name: !<tag:example.org,2026:x> 1\n",
    "binary": "name: !!binary aGFsbG8=\n",
    "a set": "seeds: !!set {1, 2}\n",
    "nested lists": "a: " + "[" * 100_000,
    "nested mappings": "a: " + "{a: " * 20_000,
    "nested blocks": "".join(" " * i + "a:\n" for i in range(2000)),
    "nested keys": "? " * 20_000,
    "a huge number": "seeds: " + "9" * 1_000_000,
    "a base-60 number": "seeds: " + "1:" * 100_000 + "1",
    "ten million dots": "title: " + "." * 10_000_000,
    "a name of a path": yaml.safe_dump({**SUITE, "name": "../../etc"}),
    "HTML as a name": yaml.safe_dump({**SUITE, "name": HOSTILE}),
}

LIMITED = """
import resource, sys, time
from harness.schema.suite import load_suite
from harness.errors import InputError
grown = 256 * 2**20
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + grown, used + grown))
try:
    load_suite("small")
    print("taken")
except InputError as error:
    print(str(error))
"""


@pytest.mark.parametrize("case", YAMLS)
def test_a_malicious_suite_is_refused_in_bounded_memory_and_time(tmp_path, monkeypatch, fault, case):
    monkeypatch.chdir(tmp_path)
    write_suite(tmp_path)
    Path("suites/small/suite.yaml").write_text(YAMLS[case])
    before = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, timeout=120)
    assert time.monotonic() - before < 60
    assert ended.stdout.startswith("suites/small/suite.yaml"), ended.stderr[-2000:]
    assert ended.stdout.count("\n") == 1 and len(ended.stdout) < 600
    assert ("aliases (*name) are not allowed" in ended.stdout) == (case in ("billion laughs", "merge keys that double"))
    assert not Path("unpickled").exists()
    fault("malicious", f"suite.yaml: {case}", "refused in one line, within 256 MiB")


def test_a_suite_that_never_ends_is_refused(tmp_path, monkeypatch, fault):
    monkeypatch.chdir(tmp_path)
    path = Path("suites/small/suite.yaml")
    path.parent.mkdir(parents=True)
    path.symlink_to("/dev/zero")
    with pytest.raises(InputError, match="has more than 1,048,576 characters"):
        load_suite("small")
    fault("malicious", "suite.yaml: a symlink to /dev/zero", "refused in one line")


MANIFESTS = {
    "nested": "[" * 200_000,
    "nested objects": '{"a":' * 200_000,
    "a list": "[]",
    "text": '"../../etc/passwd"',
    "members a list": '{"format": %d, "members": []}',
    "a huge number": '{"format": ' + "9" * 100_000 + "}",
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_a_malicious_manifest_is_refused(tmp_path, monkeypatch, fault, case):
    monkeypatch.chdir(tmp_path)
    write_small(tmp_path)
    assert softbench(Path("out")) == 0
    path = Path("out") / CELL / "manifest.json"
    found = json.loads(path.read_text())["format"]
    path.write_text(MANIFESTS[case].replace("%d", str(found)))
    with pytest.raises(ResultsError, match=r"CartPole-v1"):
        read_cell(path.parent)
    assert softbench(Path("out")) == 2
    fault("malicious", f"manifest.json: {case}", "refused, exit code 2")


class Tags(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.text = set(), set(), []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text.append(data)


def claim_about(arm, text):
    """Write a ledger with one claim, all of whose free texts are `text`."""
    claim = {"id": "C1", "pair": "dqn", "arm": arm, "against": "soft-dqn-kl", "test": "equivalence", "margin": 0.1}
    ledger = {"claims": [claim | dict.fromkeys(("statement", "source", "reason"), text)]}
    Path("suites/small/claims.yaml").write_text(yaml.safe_dump(ledger))


def test_html_in_every_name_is_inert_in_the_report(tmp_path, monkeypatch, fault):
    """Every text of suite, manifest and certificate becomes hostile in turn; the pages get no tag or attribute by it."""
    monkeypatch.chdir(tmp_path)
    write_small(tmp_path)
    assert softbench(Path("results")) == 0
    cell = read_cell(Path("results") / CELL)
    claim_about("dqn", "plain")
    plain = [Tags(path.read_text()) for path in build(["small"], tmp_path / "plain", tmp_path / "results").pages]
    suite = yaml.safe_load(Path("suites/small/suite.yaml").read_text())
    suite["title"] = HOSTILE
    suite["references"]["CartPole-v1"]["source"] = HOSTILE
    suite["published"] = [{"task": "CartPole-v1", "arm": HOSTILE, "mean": 1.0, "source": HOSTILE}]
    Path("suites/small/suite.yaml").write_text(yaml.safe_dump(suite))
    claim_about(HOSTILE, HOSTILE)

    kept = (
        "task",
        "suite",
        "pair",
        "primary",
        "environment",
        "evaluation",
        "by",
        "role",
    )  # must be those of the suite, or one of a few words, or the report refuses the cell

    def spoil(value, key=""):
        if isinstance(value, dict):
            return {
                (HOSTILE + name if key in ("switches", "files", "versions") else name): each
                if name in kept
                else spoil(each, name)
                for name, each in value.items()
            }
        if isinstance(value, list):
            return [spoil(each) for each in value]
        return HOSTILE if isinstance(value, str) else value

    content = cell.manifest.content()
    arms = content["arms"]
    renamed = {"arms": {HOSTILE if arm == "dqn" else arm: arms[arm] for arm in ("dqn", "soft-dqn-kl")}}
    renamed["members"] = {HOSTILE: content["members"]["dqn"]}
    hostile = spoil({**content, **renamed})
    timing = {"cpu": HOSTILE, "gpu": HOSTILE, "host": HOSTILE, "cores": 2, "workers": 1}
    write_cell(Path("results") / CELL, cell.curves.assign(arm=HOSTILE), Manifest.model_validate(hostile), {}, timing)
    draw = {"arm": HOSTILE, "seed": 1, "first": 1, "last": 1, "differs_in": HOSTILE}
    certificate = {
        "seal": read_cell(Path("results") / CELL).manifest.seal,
        "steps": 1,
        "recomputed": [draw],
        "time": HOSTILE,
    }
    certificate |= {"verdict": HOSTILE, "problems": [HOSTILE], "differences": [HOSTILE]}
    (Path("results") / CELL / "audit.json").write_text(json.dumps(certificate))
    pages = [Tags(path.read_text()) for path in build(["small"], tmp_path / "site", tmp_path / "results").pages]
    for page in pages:
        assert page.tags <= set.union(*(known.tags for known in plain)) | {"ul", "li"}
        assert "img" not in page.tags and not {name for name in page.attributes if name.startswith("on")}
    for path in (tmp_path / "site").glob("*.html"):
        theirs, ours = path.read_text(), (tmp_path / "plain" / path.name).read_text()
        scripts = re.findall(r"<script[^>]*>.*?</script>", theirs, re.DOTALL)
        assert (
            scripts == re.findall(r"<script[^>]*>.*?</script>", ours, re.DOTALL)
            and theirs.count("<script") == len(scripts) <= 1
        )
    assert "".join(text for page in pages for text in page.text).count(HOSTILE) > 20
    for path in (tmp_path / "site").rglob("*.svg"):
        assert "<script" not in path.read_text() and "<img" not in path.read_text()
    fault(
        "malicious",
        "HTML in titles, arms, claims, sources, settings, hashes, versions, machine, certificates",
        "inert in the report",
    )


def test_html_in_names_that_are_paths_is_refused(tmp_path, monkeypatch, capsys, fault):
    monkeypatch.chdir(tmp_path)
    for change in (
        {"cells": {HOSTILE: {"CartPole-v1": {}}}},
        {"cells": {"dqn": {HOSTILE: {}}}},
        {"cells": {"../../x": {"CartPole-v1": {}}}},
    ):
        write_suite(tmp_path, **change)
        assert softbench(Path("out")) == 2
        assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(InputError, match="unknown suite"):
        load_suite(HOSTILE)
    assert check(Member(tmp_path / "none", 0)) == 0
    fault("malicious", "HTML and ../ as pair, task, suite", "refused in one line, exit code 2", 4)
