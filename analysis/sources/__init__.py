"""Where activations come from: checkpoints, data sets and dumps. Nothing opened here can run code."""
