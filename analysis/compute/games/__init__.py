"""Cooperative games: what each player, such as a patch, a word, a column or a head, contributes to an answer."""
