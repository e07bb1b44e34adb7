"""Which units of two taps are the same."""
