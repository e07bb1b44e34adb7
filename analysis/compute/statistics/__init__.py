"""Nulls, intervals, tests and scores that any method may need."""
