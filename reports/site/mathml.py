"""Formulas as MathML, which browsers draw without scripts or network, from a small linear notation.

Letters are single unless written in a row of ASCII (`log`, `KL`); `x_i`, `x^2`, `x_{i,j}` are scripts; `frac{a}{b}` is a fraction;
`sum_{i}` and `max_a` take their script below; `;` parts two formulas. Everything else stands for itself.
"""

from __future__ import annotations

import re

from markupsafe import Markup, escape

TOKEN = re.compile(r"[A-Za-z]{2,}|[^\W\d_][\u0300-\u036f]*|\d+(?:\.\d+)?|\S")
SYMBOLS = {"sum": "∑", "'": "′", "*": "∗", "-": "−"}
BELOW = {"sum", "max", "min"}
FUNCTIONS = {"log", "exp", "max", "min", "clip"}
GAP = '<mspace width="0.15em"></mspace>'


def mathml(formula: str) -> Markup:
    """The formula as one <math> element. Raises ValueError if its braces do not match."""
    tokens = TOKEN.findall(formula)
    row = _row(tokens, closing=False)
    if tokens:
        raise ValueError(f"unmatched brace in formula: {formula}")
    return Markup('<math display="block">{}</math>').format(Markup(row))


def _row(tokens: list[str], closing: bool = True) -> str:
    """Terms up to the closing brace, or up to the end; what is read is taken off the list."""
    terms = []
    while tokens and tokens[0] != "}":
        terms.append(_term(tokens))
    if closing:
        if not tokens:
            raise ValueError("a brace is not closed")
        tokens.pop(0)
    return f"<mrow>{''.join(terms)}</mrow>"


def _term(tokens: list[str]) -> str:
    """An atom with its scripts."""
    below, gap = tokens[0] in BELOW, GAP if tokens[0] in FUNCTIONS else ""
    term, scripts = _atom(tokens), {"_": "", "^": ""}
    while tokens and tokens[0] in scripts:
        script = tokens.pop(0)
        scripts[script] = _atom(tokens)
    low, high = scripts["_"], scripts["^"]
    if low and high:
        term = f"<msubsup>{term}{low}{high}</msubsup>"
    elif low:
        term = f"<munder>{term}{low}</munder>" if below else f"<msub>{term}{low}</msub>"
    elif high:
        term = f"<msup>{term}{high}</msup>"
    return f"{gap}{term}{gap}"


def _atom(tokens: list[str]) -> str:
    if not tokens:
        raise ValueError("a formula ends where a term should be")
    token = tokens.pop(0)
    if token == "{":
        return _row(tokens)
    if token == "frac":
        parts = [_atom(tokens), _atom(tokens)]
        return f"<mfrac>{''.join(parts)}</mfrac>"
    text = escape(SYMBOLS.get(token, token))
    if token == ";":
        return '<mo>,</mo><mspace width="1.5em"></mspace>'
    if token[0].isdigit():
        return f"<mn>{text}</mn>"
    if token in SYMBOLS or not token[0].isalpha():
        return f"<mo>{text}</mo>"
    return f"<mi>{text}</mi>"
