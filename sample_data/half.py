"""Sample checkpoints are kept in float16, half the size; readers compute in float32."""

import copy


def rounded(network):
    """Return the network as it is read back: its weights rounded to float16, in float32."""
    return copy.deepcopy(network).half().float()


def save_half(network, folder):
    """Write the network into a folder as save_pretrained does, in float16. The network stays as it is."""
    copy.deepcopy(network).half().save_pretrained(folder)
