"""The answer and its picture in a README, between two marks: made by the pipeline, like the pages."""

from __future__ import annotations

from pathlib import Path

from harness.errors import InputError
from reports.site.answer import Answer

START, END = "<!-- answer: written by softbench report -->", "<!-- end of the answer -->"
PICTURE = Path("docs/answer.svg")
"""Beside the README."""
UNANSWERED = "**Not measured yet.** No run of a suite that is evidence has ended; what will be judged is registered in `suites/`."
BLANK = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 40" role="img" aria-label="Not measured yet">'
    '<text x="8" y="25" font-family="sans-serif" font-size="14">Not measured yet</text></svg>\n'
)


def write(readme: Path, answer: Answer | None) -> None:
    """Put the answer between the marks of `readme`, and its picture beside it; without one, that nothing is measured yet.

    Raises InputError where the files are not as they must be.
    """
    try:
        text = readme.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"--readme {readme}: cannot be read: {error}") from error
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise InputError(f"--readme {readme}: has no lines {START} and {END} for the answer")
    picture, lines, drawn = readme.parent / PICTURE, [START, UNANSWERED, END], BLANK
    if answer is not None:
        said = (
            f"**{answer.lead}** {answer.sentence} {answer.floored}".rstrip()
            + " Each comparison is read by itself, uncorrected."
        )
        lines = [START, said, "", f"![Every difference, soft minus hard, with its interval]({PICTURE})", END]
        drawn = answer.forest.result().standalone()
    try:
        picture.parent.mkdir(exist_ok=True)
        picture.write_text(drawn, encoding="utf-8")
        readme.write_text(before + "\n".join(lines) + after, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--readme {readme}: cannot be written: {error.strerror or error}") from error
