"""Moments, axes and linear fits."""
