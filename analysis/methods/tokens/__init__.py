"""What becomes of tokens: pruned, merged, pooled, cached, routed; and the attention between them."""

from analysis.tokens.recorded_dump import beside

BESIDE = beside  # what methods here read beside a tap that they are given: it is part of the key
