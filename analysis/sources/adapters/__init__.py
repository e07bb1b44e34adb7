"""Files that hold only what was trained on top of a frozen network (adapters), opened over that network.

`description`: which base an adapter belongs to; `parts`: what its tensors are; `over_base`: the base with them in it.
"""
