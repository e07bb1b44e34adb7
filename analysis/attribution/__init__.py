"""Who is responsible for a number that a network gives? The parts that every attribution is made of.

targets.py       which number is explained
sample_run.py    one sample in its network, with what stands at one site exchanged
backgrounds.py   what stands there when a player is absent
players.py       the parts that x - background falls into: tokens, units, features
hidden_places.py places that are hidden one by one
split_game.py    the cooperative game of these players
path_gradients.py  slopes along the straight way from the background to the sample
path_to_tolerance.py  the same, as many as it takes until the parts add up
what_if.py       features of one sample moved by hand
one_sample/      one number as a sum of parts: pixels, patches, words, columns, groups, features; without classes too
units/           many samples: what is owed to each unit, input column or feature, and which act together
pairs/           two samples: what makes them alike
concepts/        directions and moves of concepts
patches/         directions patched between samples, and the verdict that such a claim carries
saliency/        maps of one sample, way by way
saliency_court/  what puts these maps on trial

A site is a tensor of the network that is exchanged: the input itself, or what a module gives. It is read as (tokens,
units): an image (channels, height, width) has height x width tokens.
"""
