"""A direction patched between samples of two classes, and the verdict that every such claim carries."""
