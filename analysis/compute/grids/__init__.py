"""Maps of positions (image grids) of several taps."""
