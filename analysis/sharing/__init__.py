"""A workspace for others: one file that holds it whole, and back."""
