"""Nearest neighbours and the graphs made of them."""
