"""Many tokens as one vector, or as fewer: means, sets, nested grids, projectors, and budgets to share out."""
