"""What the documents say is true: commands parse, links lead somewhere, Makefile targets exist."""

import contextlib
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer
import yaml

from harness.cli import app
from harness.exits import MEANINGS
from harness.schema.results import read_cell

ROOT = Path(__file__).parent.parent
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def published(suite):
    return sorted((ROOT / "results" / suite).glob("*/*/manifest.json"))


def commands(program):
    """Calls of a program in code blocks and in inline code."""
    calls = []
    for name in DOCUMENTS:
        text = (ROOT / name).read_text()
        lines = [line for block in re.findall(r"```\n(.*?)```", text, re.S) for line in block.splitlines()]
        lines += re.findall(r"`([^`\n]+)`", text)
        calls += [line.split("#")[0].strip() for line in lines if line.startswith(f"{program} ")]
    return sorted(set(calls))


@pytest.mark.parametrize("call", commands("softbench"))
def test_documented_softbench_call_parses(call):
    _, *words = shlex.split(call)
    group = typer.main.get_command(app)
    context = group.make_context("softbench", list(words))
    name, command, arguments = group.resolve_command(context, words)
    command.make_context(name, arguments, parent=context)


@pytest.mark.parametrize("call", commands("make"))
def test_documented_make_target_exists(call):
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)
    assert call.split()[1] in targets


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_to_files(name):
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / name).read_text())
    assert links
    missing = [link for link in links if "://" not in link and not (ROOT / link).exists()]
    assert not missing


def test_documented_arms_exist():
    """That every pair and every arm is documented is a law of pairs."""
    from harness.run.spec import learner_class, pair_names

    table = (ROOT / "README.md").read_text().split("## What is compared")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|((?:[^|]*\|){3}).*\|$", table, re.M)
    assert [pair for pair, _ in rows if pair in pair_names()]
    for pair, cells in rows:
        assert set(re.findall(r"`([a-z0-9-]+)`", cells)) <= set(learner_class(pair).arms)


def test_documented_suites_are_those_that_there_are():
    from harness.schema.suite import load_suite, suite_names

    table = (ROOT / "README.md").read_text().split("## What is run")[1].split("\n## ")[0]
    rows = {name: told for name, *told in re.findall(r"^\| `([\w-]+)` \|.*\| (\d+) \| ([^|]+) \|[^|]*\|$", table, re.M)}
    with contextlib.chdir(ROOT):
        suites = {name: load_suite(name) for name in suite_names()}
    found = {name: [read_cell(path.parent) for path in published(name)] for name in suites}
    told = {}
    for name, its in suites.items():
        cells = [each.manifest for each in found[name]]
        partly = sum(len(each.members) < len(each.arms) for each in cells)
        part = f" ({partly} in part)" if partly else ""
        told[name] = [str(len(its.seeds)), f"{len(cells)} of {sum(map(len, its.cells.values()))} cells{part}"]
    assert rows == told | {"smoke": ["5", "by `make repro`"]}


def test_every_published_cell_has_a_certificate_that_says_equal():
    from harness.schema.suite import suite_names

    assert "Every cell that is published here has one" in (ROOT / "docs/trust.md").read_text()
    with contextlib.chdir(ROOT):
        cells = [read_cell(path.parent) for name in suite_names() if name != "smoke" for path in published(name)]
    assert len(cells) > 30
    unsound = [
        cell.path
        for cell in cells
        if not (cell.audit and cell.audit.verdict == "equal" and cell.audit.seal == cell.manifest.seal)
    ]
    assert unsound == []


def test_every_exit_code_is_documented_with_its_meaning():
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", (ROOT / "docs/slurm.md").read_text(), re.M)
    assert rows == [(str(int(code)), meaning) for code, meaning in MEANINGS.items()]


def test_numbers_of_trained_policies_are_those_of_the_code():
    from harness.commands.policy import TRIED
    from harness.schema.episodes import FRAMES

    text = (ROOT / "docs/policy.md").read_text()
    assert f"on {TRIED:,} observations" in text and f"records {['nine', 'ten', 'eleven'][FRAMES - 9]} moments" in text


def test_the_changelog_begins_with_this_version():
    versions = re.findall(r"^## \[([0-9.]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert versions[0] == PROJECT["project"]["version"]
    assert f"\nversion: {versions[0]}\n" in (ROOT / "CITATION.cff").read_text()


def test_hooks_before_a_commit_are_part_of_the_check():
    recipe = re.search(r"^check:.*\n((?:\t.+\n)+)", (ROOT / "Makefile").read_text(), re.M)[1].split("\n\t")
    checks = {line.strip().removesuffix(" .").replace(" --check", "") for line in recipe}
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = {hook["entry"].removeprefix(".venv/bin/") for hook in repository["hooks"]}
    assert hooks == checks - {"mypy"} and "mypy" in checks
