"""Long work as jobs: a queue on disk, two worker processes, progress, cancel, resume."""
