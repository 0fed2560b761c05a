"""Claims are fixed before a suite is run: what `claims.yaml` says when a cell's first member starts goes into its manifest.

The harness reads the file only to freeze it; what a claim means, `harness.schema.claims` says.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

from harness.errors import InputError, suggestion
from harness.files import make_folder, replacing
from harness.run.spec import learner_class
from harness.schema.claims import RULES, load_ledger
from harness.schema.documents import read_yaml
from harness.schema.grid import base, point_name
from harness.schema.suite import CLAIMS, SUITES, Suite


def registered(suite: Suite, pair: str) -> dict[str, Any]:
    """`{level, uninformative, claims: {id: claim}}`: the claims about `pair` in the suite's file as it is now; {} where there is no file.

    Raises InputError where the file cannot be read or is no ledger, or a claim is about an arm that the pair does not have.
    """
    if load_ledger(suite) is None:
        return {}
    path = SUITES / suite.name / CLAIMS
    content = read_yaml(path)
    ours, points = [claim for claim in content["claims"] if claim["pair"] == pair], _arms(suite, pair)
    grids = list(dict.fromkeys(base(name) for name in points if name != base(name)))
    for claim, field in itertools.product(ours, ("arm", "against")):
        arms = grids if claim.get("of") == "grid" else points
        if isinstance(claim[field], str) and claim[field] not in arms:
            unknown = f"{claim[field]!r} is no arm of {pair}{suggestion(str(claim[field]), arms)}"
            raise InputError(f"{path}: {claim['id']}: {field}: {unknown}")
    rules = {rule: content[rule] for rule in RULES if rule in content}
    return {**rules, "claims": {claim["id"]: claim for claim in ours}}


def _arms(suite: Suite, pair: str) -> list[str]:
    """The arms that a pair's cells have in results."""
    cells, every = [suite.registered(pair, task) for task in suite.cells[pair]], learner_class(pair).arms
    names = [point_name(arm, point) for cell in cells for arm in cell.arms or every for point in cell.points]
    return list(dict.fromkeys(names))


def freeze(path: Path, suite: Suite, pair: str) -> dict[str, Any]:
    """What is registered at `path`; where nothing is yet, what the suite's file says now, which is registered from then on.

    Raises InputError where the file or the registration cannot be read.
    """
    if path.exists():
        try:
            found = json.loads(path.read_text())
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(
                f"{path}: cannot be read: {error}; restore it, or move the folder away and train again"
            ) from error
        return found if isinstance(found, dict) else {}
    claims = registered(suite, pair)
    make_folder(path.parent)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(claims, indent=1, sort_keys=True) + "\n")
    return claims
