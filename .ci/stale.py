"""After `make repro` in a clean checkout: is what is committed what this code makes? Exit code 1, and what is stale, where it is not.

Bits depend on the processor (docs/trust.md), so on another one than the lock file's the hashes of what was computed may differ; what it
was computed from may not.
"""

import json
import subprocess
import sys
from pathlib import Path

import yaml

COMPUTED = ("results/", "site")


def git(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout


def inputs(lock: str) -> dict[str, object]:
    """A lock file without the hashes of what was computed."""
    stages = yaml.safe_load(lock)["stages"]
    return {
        name: {
            "cmd": stage["cmd"],
            "params": stage.get("params"),
            "deps": [dep for dep in stage.get("deps", []) if not dep["path"].startswith(COMPUTED)],
            "outs": [out["path"] for out in stage["outs"]],
        }
        for name, stage in stages.items()
    }


def untrained(why: list[object]) -> bool:
    """Whether none of a stage's results is here or in git: such a cell was never trained, and is not stale."""
    changed = [part["changed outs"] for part in why if isinstance(part, dict) and "changed outs" in part]
    outs = {path: what for part in changed for path, what in part.items()}
    return bool(outs) and {*outs.values()} == {"deleted"} and not git("ls-files", *outs)


def main() -> int:
    stale = git("status", "--porcelain").splitlines()
    if stale == [" M dvc.lock"]:
        before, after = inputs(git("show", "HEAD:dvc.lock")), inputs(Path("dvc.lock").read_text())
        stale = [
            f"dvc.lock: stage {name}"
            for name in sorted(set(before) | set(after))
            if before.get(name) != after.get(name)
        ]
        if not stale:
            print(
                "dvc.lock: other hashes of what was computed, from the same inputs: another processor than the lock file's"
            )
    status = subprocess.run([sys.executable, "-m", "dvc", "status", "--json"], capture_output=True, text=True)
    stages = json.loads(status.stdout)
    stale += [f"dvc status: {stage}: {json.dumps(why)}" for stage, why in stages.items() if not untrained(why)]
    for line in stale:
        print(f"stale: {line}", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
