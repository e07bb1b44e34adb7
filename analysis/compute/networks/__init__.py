"""Weights and heads: relations, merging, alignment and fusion of networks."""
