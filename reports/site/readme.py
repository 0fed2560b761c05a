"""The answer and its picture in a README, between two marks: made by the pipeline, like the pages."""

from __future__ import annotations

from pathlib import Path

from harness.errors import InputError
from reports.site.answer import Answer

START, END = "<!-- answer: written by softbench report -->", "<!-- end of the answer -->"
PICTURE = Path("docs/answer.svg")
"""Beside the README."""


def write(readme: Path, answer: Answer | None) -> None:
    """Put the answer between the marks of `readme`, and its picture beside it. Raises InputError where that is not possible."""
    try:
        text = readme.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"--readme {readme}: cannot be read: {error}") from error
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise InputError(f"--readme {readme}: has no lines {START} and {END} for the answer")
    if answer is None:
        raise InputError(f"--readme {readme}: there is no evidence to answer from; train a suite that is no smoke test")
    picture = readme.parent / PICTURE
    said = f"**{answer.lead}** {answer.sentence}"
    lines = [START, said, "", f"![Every difference, soft minus hard, with its interval]({PICTURE})", END]
    try:
        picture.parent.mkdir(exist_ok=True)
        picture.write_text(answer.forest.result().standalone(), encoding="utf-8")
        readme.write_text(before + "\n".join(lines) + after, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--readme {readme}: cannot be written: {error.strerror or error}") from error
