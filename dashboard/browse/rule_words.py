"""What each rule that takes tokens away does, in one sentence for who has not read its paper."""

from __future__ import annotations

from analysis.tokens.rule import rules

SAYS = {
    "adaptive_pooling": "means over equal cells of the image, as many cells as tokens are wanted.",
    "aim": "adaptive inference by merging and pruning: first merges the most alike neighbours, in later layers drops "
    "what few other tokens lead to when attention is walked along (PageRank).",
    "window_attention": "each cell of the image becomes one token, read from the cell by attention with its mean.",
    "class_attention": "keeps what the class token looks at most.",
    "cluster_rebuild": "groups tokens that are near each other in place and content, and spreads the result back over "
    "all places behind the last layer.",
    "correlation_guided": "the more tokens repeat each other, the fewer stay; which, the class token's attention says.",
    "dynamicvit": "keeps the tokens of the largest score that a small predictor was trained to give.",
    "evit": "keeps what the class token looks at most and puts all others into one token.",
    "fastv": "behind one early layer keeps what the last token (which answers) looks at most.",
    "feather": "keeps a coarse grid, so that no part of the image is lost, and what the last token looks at most when "
    "place is left out of attention.",
    "power_pooling": "one token for each cell: between the mean of the cell and its maximum, by the power p.",
    "grouped_pooling": "one token for each cell: between the mean and the maximum, by a power for each group of units.",
    "max_pooling": "one token for each cell: in every unit the largest value in it.",
    "attentive_pooling": "one token for each cell, in which every unit weighs the tokens by itself.",
    "g_search": "keeps what the words (or all tokens that can read it) look at most, fewer behind every layer along a "
    "sigmoid over depth.",
    "mctf": "multi-criteria token fusion: merges pairs that are alike, carry little and have not grown large yet.",
    "nested_pooling": "means over the cells of grids that lie in each other (Matryoshka), the finest that is allowed.",
    "pagerank": "drops what few other tokens lead to when attention is walked along (the second half of AIM).",
    "pitome": "protects tokens that stand alone and merges those with many alike (an energy score).",
    "pyramid_drop": "at the end of each stage keeps a share, by what the last token looks at most.",
    "received_attention": "keeps what all tokens look at most (heavy hitters); of text also the latest.",
    "received_influence": "keeps tokens that go into others most: weight times length of what is read.",
    "spatial_pooling": "means over square cells of the image.",
    "token_norm": "keeps the longest tokens.",
    "tome": "token merging: joins the most alike pairs of tokens, by their keys, in every layer.",
    "even": "keeps every so-manieth token, whatever is in it: a baseline.",
    "first": "keeps the first tokens: a baseline.",
    "last": "keeps the first few and the last tokens, as a sliding window does: a baseline.",
    "random": "keeps tokens by lot: what a rule has to beat.",
}


def glossary() -> str:
    """Markdown: a line for each rule, baselines last."""
    return "\n".join(f"- **{one.title}**: {SAYS[id]}" for id, one in rules().items())
