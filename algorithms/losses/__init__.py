"""Losses of pairs that do not train yet; each file names the pair of `algorithms/pairs/` that will use it."""
