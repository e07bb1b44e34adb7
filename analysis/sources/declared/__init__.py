"""Networks that are plain stacks of known layers, described by a JSON file beside their weights: data and no code."""
