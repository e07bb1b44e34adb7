"""Maps of one sample: how much of an answer is owed to each token of a site, way by way.

way.py      what a way is given and what it gives
slopes.py   ways that need slopes: gradient, gradient times what stands there, Grad-CAM, NormGrad, integrated gradients
norm_grad.py     NormGrad with other virtual layers
occlusion.py     windows covered, of windows.py
random_masks.py  RISE
shapley.py       Shapley values of tokens
module_rules.py  DeepLIFT, guided slopes, LRP, where operations.py finds a rule for all that the network does
controls.py maps that look at no weights and that every way has to beat: random, edges
ways.py     all of them by name

cross_layer.py   maps of several layers in one
by_unit.py       a site without places, seen unit by unit
map_likeness.py  rank correlation and structure of maps, and what chance gives
beyond_others.py how much of a map lies outside what other samples have there
agreement.py     do maps of the same samples agree, over samples
asked.py         samples, sites and nulls as the methods ask for them

A site is the input (tokens are pixels) or a module (tokens are the places of its map, patches, words).
"""
