"""Maps of a sample on trial: are they better than chance, do they hang on the answer, on the weights, on the sample?

asking.py        what every trial asks for
kept_maps.py     maps of samples as they are, found again by every trial
site_views.py    tokens of a site as places: on their grid, or units
trial.py         samples on trial and their maps
on_trial.py      opened: which samples, their targets and backgrounds, and the ways that a budget of passes lets through
map_likeness.py  rank correlation and structure of maps, and what chance gives
filling.py       tokens put in or taken out in the order of a map
bands.py         ratios of means with bootstrap bands
reset_layers.py  layers with weights drawn anew, from the output downwards
forgetting.py    a trial of a network whose layers are reset, or of a probe of permuted labels
planting.py      a patch in the input of a sample, or in rows of a tap
regions.py       a region among equal ones
order_trial.py, patch_trial.py   what two of the trials measure of every sample
permuted_labels.py   a probe of labels that say nothing
paired.py        differences of the same samples, all tests together
costs.py         what a trial costs
"""
