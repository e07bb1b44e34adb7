"""Maps of one sample: how much of an answer is owed to each token of a site, way by way.

way.py      what a way is given and what it gives
slopes.py   ways that need slopes: gradient, gradient times what stands there, Grad-CAM, NormGrad, integrated gradients
controls.py maps that look at no weights and that every way has to beat: random, edges
ways.py     all of them by name

A site is the input (tokens are pixels) or a module (tokens are the places of its map, patches, words).
"""
