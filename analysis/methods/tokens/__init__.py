"""What becomes of tokens: pruned, merged, pooled, cached, routed; and the attention between them."""
