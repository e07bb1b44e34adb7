"""Linear subspaces: where to cut them, the angles between them, how they move, and what is removed along them."""
