"""Kolmogorov-Arnold layers: a function on every edge from an input to a node."""
