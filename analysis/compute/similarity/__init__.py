"""How alike whole representations are."""
