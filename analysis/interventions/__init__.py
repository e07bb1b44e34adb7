"""What changes when a part of a network is changed? The parts that causal tests are made of.

components.py     what can be changed, found in a loaded network by how it runs: layers, attention, heads, MLPs
interventions.py  what is done there: ablate, clamp, steer, patch; whole, units, directions, features; on some tokens
batch_run.py      prepared samples in their network; many interventions stacked along the batch of one forward pass
many_targets.py   the number of each sample's answer that is looked at
many_samples.py   the samples of a tap in such batches, in their network or in a probe
bench.py          a tap made ready for such tests
ablation.py       parts taken out, and random changes as large beside them
direct_paths.py   what each part writes straight to the logits
component_game.py the cooperative game of a network's parts
directions.py     ways that an intervention goes along
pairs.py          clean samples beside corrupted ones
subspaces.py      places held to a few directions
sweeps.py         layer by token: what patching each cell changes; sweep_numbers.py what is told of it
kept_prefix.py    what runs before the first change, kept and not run again
move_verdict.py   does a change work by a way that the network takes? move_trial.py tries it, natural_rows.py is what it
                  is held against, bench_verdict.py what every method carries of it
circuits.py       parts as a graph, path by path
"""
