"""What the keys and values of attention take up, and what of them can be left out: dimensions, layers, tokens, bits."""
