"""Searching a gallery with embeddings, of one version or several."""
