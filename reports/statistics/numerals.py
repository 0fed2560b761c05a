"""Numbers in words' company: one minus sign, U+2212, on every page, in every figure and in LaTeX; a CSV has plain ASCII ones."""

from __future__ import annotations

MINUS = "−"


def numeral(value: float, form: str) -> str:
    """`format(value, form)` with the minus sign of texts, of an exponent as well: `−0.01`, `1e−05`."""
    return format(value, form).replace("-", MINUS)
