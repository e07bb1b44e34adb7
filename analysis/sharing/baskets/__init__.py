"""Baskets: figures collected while browsing, to be one figure of a paper with its data and its methods paragraph."""
