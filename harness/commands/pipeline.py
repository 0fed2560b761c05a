"""`softbench pipeline`: the DVC files."""

from __future__ import annotations

from typing import Annotated

import typer

from harness import pipeline as files
from harness.commands.shared import new_app
from harness.exits import Exit, legend

app = new_app()


@app.command(
    "pipeline",
    epilog="\b\nExamples:\n  softbench pipeline\n  softbench pipeline --identity" + legend(Exit.INPUT),
)
def pipeline(
    identity: Annotated[
        bool,
        typer.Option("--identity", help="only suites/identity.yaml, the digests of the code: a stage of the pipeline"),
    ] = False,
) -> None:
    """Write the DVC files from the suites: dvc.yaml of the root and of every larger suite, and suites/identity.yaml."""
    for path in files.write(identity_alone=identity):
        print(path)
