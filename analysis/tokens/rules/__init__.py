"""Rules that drop or merge tokens, one file each with its equation."""
