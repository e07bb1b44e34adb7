"""Any mixer of tokens as a T x T matrix: what each token's output takes of each token's input."""
