"""Features over many models."""
