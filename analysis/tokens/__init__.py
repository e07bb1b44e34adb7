"""What becomes of tokens on their way through a network: rules that drop or merge them, on a dump or for real."""
