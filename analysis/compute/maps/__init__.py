"""Projections to two or three coordinates: layouts, and what a map keeps and says."""
