"""Numbers in words' company: one minus sign, U+2212, on every page, in every figure and in LaTeX; a CSV has plain ASCII ones."""

from __future__ import annotations

import re

MINUS = "−"


def numeral(value: float, form: str) -> str:
    """`format(value, form)` with the minus sign of texts, of an exponent as well: `−0.01`, `1e−05`; what rounds to 0 has no sign."""
    text = format(value, form)
    return text[1:] if text[0] in "+-" and not text.strip("+-0.%") else text.replace("-", MINUS)


def typeset(text: str) -> str:
    """Words from a file, with the minus sign of texts before numbers and in exponents."""
    return re.sub(r"(?<![\w.)\]-])-(?=\.?\d)|(?<=\de)-(?=\d)", MINUS, text)


def ranges(seeds: list[int]) -> str:
    """`0-3, 7` for [0, 1, 2, 3, 7]."""
    runs: list[list[int]] = []
    for seed in sorted(seeds):
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
