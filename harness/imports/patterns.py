"""Patterns such as `{arm}/{task}/seed{seed}/*.csv`: what they find, and what they say of a run."""

from __future__ import annotations

import re
from collections.abc import Collection

IDENTITY = ("arm", "task", "seed")
MOST_TEXT = 1000
"""Characters of a path or name that is compared with a pattern."""
WILD = re.compile(r"(\{[^{}]*\}|\*)")


def checked(text: str) -> str:
    """A pattern such as `{task}__{arm}__{seed}__*`. Raises ValueError on anything but each placeholder once and single stars."""
    wild = WILD.findall(text)
    unknown = next((each for each in wild if each != "*" and each[1:-1] not in IDENTITY), None)
    if unknown is not None:
        raise ValueError(f"{unknown} is no placeholder; allowed: {{arm}}, {{task}}, {{seed}} and *")
    twice = next((each for each in wild if each != "*" and wild.count(each) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice} appears twice")
    if "**" in text or re.search(r"[{}*]\{|\}[{*]", text):
        raise ValueError("placeholders and stars must have something between them")
    return text


def matching(pattern: str, text: str, path: bool = True, slashed: Collection[str] = ()) -> dict[str, str] | None:
    """What the placeholders of a pattern stand for in `text`; None where it does not match. A seed of digits is preferred.

    In a path nothing stands for a `/` but the names in `slashed`, of tasks such as `ALE/Pong-v5`; in another name {arm} and {task} may.

    >>> matching("{arm}_{seed}/*.csv", "a_b_3/x.csv")
    {'arm': 'a_b', 'seed': '3'}
    """
    if len(text) > MOST_TEXT:
        return None
    any_name = "|".join([*map(re.escape, slashed), "[^/]+?"]) if path else ".+?"
    for seed in ("[0-9]+", "[^/]+?"):
        kinds = {
            "*": "[^/]*" if path else ".*",
            "{arm}": f"(?P<arm>{any_name})",
            "{task}": f"(?P<task>{any_name})",
            "{seed}": f"(?P<seed>{seed})",
        }
        found = re.fullmatch("".join(kinds.get(part, re.escape(part)) for part in WILD.split(pattern)), text)
        if found:
            return found.groupdict()
    return None
