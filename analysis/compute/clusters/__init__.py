"""Clusters of rows: finding, naming and doubting them."""
