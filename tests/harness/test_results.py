"""The files of a cell: written whole, read back equal, the same bytes for the same results."""

from __future__ import annotations

import errno
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.errors import ResultsError
from harness.files import replacing
from harness.schema.manifest import FORMAT, Manifest, seal
from harness.schema.results import COLUMNS, read_cell, write_cell
from harness.schema.sidecars import Timing

ARMS = {"x": {"role": "hard"}, "y": {"role": "soft", "against": "x"}}
MANIFEST = {
    "format": FORMAT,
    "suite": "s",
    "pair": "a2c",
    "task": "CartPole-v1",
    "source": "none",
    "hard": "x",
    "arms": ARMS,
    "steps": 200,
    "segments": 2,
    "evaluation": {"episodes": 1, "primary": "sampled"},
    "device": "cpu",
    "members": {"x": {"0": {"chain": ["abc"]}}},
}
UNITS = {"value_loss": "squared return"}


def make_curves():
    rows = [(arm, seed, segment) for arm in ("x", "y") for seed in (0, 1) for segment in (1, 2)]
    curves = pd.DataFrame(rows, columns=["arm", "seed", "segment"])
    for index, name in enumerate(column for column in COLUMNS if column not in ("arm", "seed", "segment")):
        curves[name] = np.arange(len(rows)) * 0.5 + index
    curves["diverged"] = [False] * 7 + [True]
    curves["step"] = curves["segment"] * 100
    curves["value_loss"] = np.nan
    curves.loc[7, ["return_sampled", "return_greedy"]] = np.nan
    return curves


def write(folder, curves=None):
    write_cell(
        folder,
        make_curves() if curves is None else curves,
        Manifest.model_validate(MANIFEST),
        UNITS,
        {"wall_seconds": 1},
    )


def test_what_is_written_is_read_back(tmp_path):
    write(tmp_path / "s" / "a2c" / "t")
    cell = read_cell(tmp_path / "s" / "a2c" / "t")
    content = cell.manifest.content()
    sealed = {**MANIFEST, "members": content["members"], "seal": seal(content)}
    assert (
        content == sealed
        and cell.sealed
        and cell.timing == Timing(wall_seconds=1)
        and (cell.pair, cell.task) == ("a2c", "CartPole-v1")
    )
    expected = make_curves()
    pd.testing.assert_frame_equal(cell.curves[list(expected)], expected)


def test_a_manifest_of_an_earlier_version_means_what_it_meant():
    """It said `soft`, and as `hard` what a soft arm is compared with, or nothing where that was the manifest's `hard`."""
    earlier = {"x": {"soft": False, "hard": None}, "y": {"soft": True, "hard": None}, "z": {"soft": True, "hard": "w"}}
    arms = Manifest.model_validate({**MANIFEST, "arms": {**earlier, "w": {"soft": False, "title": "W"}}}).arms
    found = {name: (arm.role, arm.against) for name, arm in arms.items()}
    assert found == {"x": ("hard", None), "y": ("soft", "x"), "z": ("soft", "w"), "w": ("hard", None)}
    assert arms["w"].title == "W"


@pytest.mark.parametrize(
    ("arm", "words"),
    [
        ({"soft": "yes"}, "arms.y.role: is missing"),
        ({"role": "softer"}, "arms.y.role: must be 'hard', 'soft' or 'control'"),
        ({"role": "control"}, "arms.y: against: a soft arm and a control have one, a hard arm has none"),
        ({"role": "hard", "against": "x"}, "arms.y: against: a soft arm and a control have one, a hard arm has none"),
        ("soft", "arms.y: must be a table"),
    ],
)
def test_a_wrong_arm_of_a_manifest_is_told_by_its_field(tmp_path, arm, words):
    write(tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"arms": {"x": {"role": "hard"}, "y": arm}}))
    with pytest.raises(ResultsError, match=words):
        read_cell(tmp_path)


def test_equal_results_give_equal_bytes_in_any_order_of_rows(tmp_path):
    write(tmp_path / "a")
    write(tmp_path / "b", make_curves().sample(frac=1, random_state=3))
    write(tmp_path / "a")
    files = {path.name for path in (tmp_path / "a").iterdir()}
    assert files == {"curves.parquet", "manifest.json", "summary.json", "learning.csv", "timing.json"}
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_every_column_has_its_unit_in_the_schema(tmp_path):
    write(tmp_path)
    schema = pq.read_schema(tmp_path / "curves.parquet")
    assert {field.name: field.metadata[b"unit"].decode() for field in schema} == {**COLUMNS, **UNITS}


def test_summary_and_learning_are_extracts_of_the_curves(tmp_path):
    write(tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    curves = make_curves()
    last = curves[curves.segment == 2]
    assert summary == {
        "hard_return": last[last.arm == "x"].return_sampled.mean(),
        "soft_return": last[(last.arm == "y") & ~last.diverged].return_sampled.mean(),
        "seeds": 2,
        "diverged": 1,
    }
    learning = pd.read_csv(tmp_path / "learning.csv")
    assert list(learning) == ["step", "x", "y"] and list(learning.step) == [100, 200]
    assert learning.x[0] == curves[(curves.arm == "x") & (curves.segment == 1)].return_sampled.mean()


def fail_half_way(path):
    path.write_text("half of the n")
    raise OSError(errno.ENOSPC, "full")


def test_a_replaced_file_is_the_old_or_the_new_one(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(OSError, match="full"), replacing(path) as temporary:
        fail_half_way(temporary)
    assert path.read_text() == "old"
    (tmp_path / ".file.12345.tmp").write_text("left by a killed process")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_the_manifest_comes_last_so_that_a_folder_with_one_is_whole(tmp_path, monkeypatch):
    for failing in range(5):
        folder = tmp_path / str(failing)
        written = []

        def exits(self, *arguments, failing=failing, written=written, original=replacing.__exit__):
            if len(written) == failing:
                raise OSError(errno.ENOSPC, "No space left on device")
            written.append(self.path.name)
            return original(self, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(replacing, "__exit__", exits)
            with pytest.raises(OSError, match="space"):
                write(folder)
        assert not (folder / "manifest.json").exists()
        write(folder)
        assert read_cell(folder).sealed


def damage(folder, name, content):
    (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("manifest.json", b"", "cannot be read"),
        ("manifest.json", b"[]", "format None"),
        ("manifest.json", b'{"format": 99}', "format 99; this version reads format 2"),
        ("manifest.json", b'{"format": 2}', "suite: is missing"),
        ("manifest.json", b"\xff\xfe", "cannot be read"),
        ("curves.parquet", b"PAR1", "cannot be read"),
        ("curves.parquet", b"", "cannot be read"),
        ("timing.json", b"{", "cannot be read"),
        ("timing.json", b"[]", "timing.json"),
        ("timing.json", b'{"arms": []}', "arms: "),
        ("timing.json", b'{"arms": {"a": 3}}', r"arms\.a: "),
        ("timing.json", b'{"wall_seconds": -1}', "wall_seconds: "),
        ("timing.json", b'{"steps_per_second": Infinity}', "steps_per_second: "),
        ("timing.json", b'{"earlier": [{"cores": "two"}]}', r"earlier\.0\.cores: "),
        ("audit.json", b"[]", "audit.json"),
        ("audit.json", b'{"seal": "a"}', "verdict: is missing"),
        ("audit.json", b'{"seal": "a", "verdict": "equal", "recomputed": [3]}', r"recomputed\.0: "),
    ],
)
def test_a_damaged_cell_is_said(tmp_path, name, content, message):
    write(tmp_path)
    damage(tmp_path, name, content)
    with pytest.raises(ResultsError, match=message) as raised:
        read_cell(tmp_path)
    assert str(tmp_path) in str(raised.value)


def test_a_cut_or_flipped_parquet_file_is_said(tmp_path):
    write(tmp_path)
    whole = (tmp_path / "curves.parquet").read_bytes()
    for length in (len(whole) // 2, len(whole) - 1):
        damage(tmp_path, "curves.parquet", whole[:length])
        with pytest.raises(ResultsError, match="cannot be read"):
            read_cell(tmp_path)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("step", "x", r"column step: must hold whole numbers \(got (large_)?string\)"),
        ("step", None, r"column step: must hold whole numbers \(got null with gaps\)"),
        ("step", float("inf"), r"column step: must hold whole numbers \(got double\)"),
        ("step", -1, "column step: must be from 0 to 1,000,000,000,000"),
        ("arm", 3, "column arm: must hold names"),
        ("seed", 0.5, "column seed: must hold whole numbers"),
        ("return_sampled", "x", "column return_sampled: must hold numbers"),
        ("entropy", [[1.0]], "column entropy: must hold numbers"),
        ("diverged", "no", "column diverged: must hold true or false"),
        ("loss_value", "x", "column loss_value: must hold numbers"),
    ],
)
def test_a_column_of_another_kind_is_said(tmp_path, column, values, message):
    write(tmp_path)
    curves = pd.read_parquet(tmp_path / "curves.parquet")
    curves[column] = values * len(curves) if isinstance(values, list) else values
    curves.to_parquet(tmp_path / "curves.parquet")
    with pytest.raises(ResultsError, match=message):
        read_cell(tmp_path)


def test_a_table_of_another_make_is_said_or_read(tmp_path):
    write(tmp_path)
    path = tmp_path / "curves.parquet"
    table = pq.read_table(path)
    for noted in (b"{", b"[]"):
        pq.write_table(table.replace_schema_metadata({"pandas": noted}), path)
        assert len(read_cell(tmp_path).curves) == table.num_rows, "what pandas notes says nothing of the numbers"
    table.to_pandas().set_index("step").to_parquet(path)
    assert "step" in read_cell(tmp_path).curves.columns
    broken = {
        "step: is given twice": table.append_column("step", table.column("step")),
        "cannot be read": table.set_column(
            table.column_names.index("arm"), "arm", pa.array([b"\xff"] * table.num_rows).view(pa.string())
        ),
    }
    for message, content in broken.items():
        pq.write_table(content, path)
        with pytest.raises(ResultsError, match=message):
            read_cell(tmp_path)


def test_gaps_are_numbers_where_nothing_was_measured(tmp_path):
    write(tmp_path)
    curves = pd.read_parquet(tmp_path / "curves.parquet")
    curves.assign(return_greedy=None, entropy=1).to_parquet(tmp_path / "curves.parquet")
    assert read_cell(tmp_path).curves["return_greedy"].isna().all()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [("arms", {}, "arms: must not be empty"), ("claims", {"claims": 5}, "claims: must be a table")],
)
def test_a_manifest_of_another_form_is_said(tmp_path, field, value, message):
    write(tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(ResultsError, match=message):
        read_cell(tmp_path)


def test_a_missing_column_is_said(tmp_path):
    write(tmp_path, make_curves().drop(columns="entropy").assign(entropy=1.0))
    table = pq.read_table(tmp_path / "curves.parquet").drop_columns(["entropy"])
    pq.write_table(table, tmp_path / "curves.parquet")
    with pytest.raises(ResultsError, match="column entropy is missing"):
        read_cell(tmp_path)
