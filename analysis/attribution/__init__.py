"""Who is responsible for a number that a network gives? The parts that every attribution is made of.

targets.py       which number is explained
sample_run.py    one sample in its network, with what stands at one site exchanged
backgrounds.py   what stands there when a player is absent
players.py       the parts that x - background falls into: tokens, units, features
tap_vector.py    where the tap puts a sample, and numbers of it for encoders without classes
tap_numbers.py   the same number of other references, for a null
site_players.py  pixels, patches, words, columns, and the hierarchies that groups of them stand in
hidden_places.py places that are hidden one by one
split_game.py    the cooperative game of these players
path_gradients.py  slopes along the straight way from the background to the sample
path_to_tolerance.py  the same, as many as it takes until the parts add up
saliency/       maps of one sample, way by way

A site is a tensor of the network that is exchanged: the input itself, or what a module gives. It is read as (tokens,
units): an image (channels, height, width) has height x width tokens.
"""
