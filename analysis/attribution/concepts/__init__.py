"""Concepts of a tap as directions and as moves of a sample: how answers change along them, the fewest that turn one."""
