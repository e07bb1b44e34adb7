"""Dictionaries: judged beside the best achievable, and certified feature by feature."""
