"""Which expert each token goes to, how evenly, and what of a router's numbers means anything."""
