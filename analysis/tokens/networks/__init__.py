"""Transformers whose blocks are run part by part, so that tokens can be taken away inside them."""
