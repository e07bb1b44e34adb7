"""One dashboard for a team: who may come in, what she may do, which files are read, what is written down about it."""
