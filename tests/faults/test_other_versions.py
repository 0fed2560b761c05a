"""Checkpoints of other settings, code or versions are never used: refused where they are in the way, left alone where they are not."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import yaml
from disk import softbench, write_small


def test_a_folder_of_other_settings_or_code_is_refused(tmp_path, monkeypatch, capsys, fault):
    """A folder that was renamed or copied by hand to where this version looks."""
    monkeypatch.chdir(tmp_path)
    write_small(tmp_path)
    assert softbench(Path("out")) == 0
    shutil.rmtree("out/small")
    (identity,) = Path("out").rglob("identity.json")
    content = json.loads(identity.read_text())
    files = content["code.files"]
    changes = {
        r"code\.files\.algorithms/pairs/dqn\.py: was '0+": {"code.files": files | {"algorithms/pairs/dqn.py": "0" * 64}},
        r"spec\.settings\.batch: was 16, is now 8": {"spec": content["spec"] | {"settings": content["spec"]["settings"] | {"batch": 16}}},
        r"versions\.torch: was '0\.1'": {"versions": content["versions"] | {"torch": "0.1"}},
        r"cpu\.capability: was 'AVX9'": {"cpu": content["cpu"] | {"capability": "AVX9"}},
        r"checkpoints: was 1, is now 2": {"checkpoints": 1},
    }
    for message, change in changes.items():
        identity.write_text(json.dumps(content | change))
        assert softbench(Path("out")) == 2
        assert re.search(f"checkpoints of another version: {message}.*move the folder away", capsys.readouterr().err)
    for text in ("", "[]", "[" * 100_000, '"../.."'):
        identity.write_text(text)
        assert softbench(Path("out")) == 2
        assert str(identity.parent) in capsys.readouterr().err
    identity.unlink()
    assert softbench(Path("out")) == 2 and "no identity.json" in capsys.readouterr().err
    identity.write_text(json.dumps(content))
    assert softbench(Path("out")) == 0
    fault(
        "other version",
        "a cohort's folder of other code, settings, versions, or none, under our name",
        "refused, exit code 2, the field is said",
        10,
    )


def test_checkpoints_of_another_version_are_left_alone_and_said(tmp_path, monkeypatch, capsys, fault):
    monkeypatch.chdir(tmp_path)
    write_small(tmp_path)
    assert softbench(Path("out")) == 0
    shutil.rmtree("out/small")
    changed = yaml.safe_load(Path("suites/small/suite.yaml").read_text())
    changed["cells"]["dqn"]["CartPole-v1"]["batch"] = 16
    Path("suites/small/suite.yaml").write_text(yaml.safe_dump(changed))
    capsys.readouterr()
    assert softbench(Path("out")) == 0
    assert "checkpoints of another version are left alone: spec.settings.batch: was 8, is now 16" in capsys.readouterr().out
    assert len(list(Path("out").rglob("identity.json"))) == 2
    fault("other version", "checkpoints of other settings in a folder of their own", "left alone, the field is said")
