"""Dictionaries judged: codes beside what they were made from, coherence, reconstruction, consistency."""
