"""Train sparse autoencoders on a layer of the sample language model and of the first ViT.

    python sample_data/train_dictionaries.py

Activations are recorded from the data that the networks were trained on: a quarter of the language model's training
text in pieces of 128 bytes (every byte a row), and the training digits (every patch a row). Three TopK dictionaries of
each, which differ in their seed alone, so that features can be held against those of another seed. Also writes the
pieces of held-out source that features are read by in the workspace. Needs train_digits.py and train_gpt.py before it.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
from digits import build_arrays, write_image_folder
from train_gpt import CONTEXT, HELDOUT_MODULES, TRAIN_MODULES, module_bytes

from analysis.features.training import train
from analysis.recording.recorder import record
from analysis.sources.checkpoint import open_checkpoint
from analysis.sources.data import open_data

HERE = Path(__file__).resolve().parent
DICTIONARIES = HERE / "dictionaries"
CODE = HERE / "data" / "python_code.jsonl"
SEEDS = (0, 1, 2)
PIECES_PER_MODULE = 10
EVERY = 4  # of the training text's pieces, one in so many

# name, checkpoint, tap, latents, k, rows seen
TRAINED = [
    ("gpt-topk", "python-gpt", "transformer.h.2", 512, 12, 4_000_000),
    ("vit-topk", "digits-vit-seed0", "vit.layers.2", 128, 6, 1_500_000),
]


def training_pieces():
    """Return every fourth piece of CONTEXT bytes of the training text that is ASCII."""
    pieces = []
    for name in TRAIN_MODULES:
        source = module_bytes(name)
        for start in range(0, len(source) - CONTEXT + 1, CONTEXT * EVERY):
            piece = source[start : start + CONTEXT]
            if piece.isascii():
                pieces.append({"id": f"{name}-{start:06d}", "text": piece.decode()})
    return pieces


def heldout_pieces():
    """Return PIECES_PER_MODULE ASCII pieces of each held-out module, evenly spread, each from a line's start."""
    pieces = []
    for name in HELDOUT_MODULES:
        source = module_bytes(name)
        starts = [i + 1 for i, byte in enumerate(source) if byte == ord("\n")]
        starts = [s for s in starts if s + CONTEXT <= len(source) and source[s : s + CONTEXT].isascii()]
        for at in np.linspace(0, len(starts) - 1, PIECES_PER_MODULE).astype(int):
            text = source[starts[at] : starts[at] + CONTEXT].decode()
            pieces.append({"id": f"{name}-{starts[at]:06d}", "module": name, "text": text})
    return pieces


def write_lines(path, pieces):
    """Write pieces as JSON lines."""
    path.write_text("".join(json.dumps(piece) + "\n" for piece in pieces))


def training_store(checkpoint, tap, folder):
    """Return a store of what the network was trained on, every token a row, under `folder`."""
    if checkpoint == "python-gpt":
        write_lines(folder / "text.jsonl", training_pieces())
        data = open_data(folder / "text.jsonl", text="text", id="id")
    else:
        images, labels, split = build_arrays()
        write_image_folder(images, labels, np.flatnonzero(split == "train"), folder / "digits")
        data = open_data(folder / "digits")
    network = open_checkpoint(HERE / "checkpoints" / checkpoint)
    return record(network, data, folder / "store", name=checkpoint, taps=[tap], tokens="all", batch=64)


def main():
    write_lines(CODE, heldout_pieces())
    for name, checkpoint, tap, latents, k, tokens in TRAINED:
        with tempfile.TemporaryDirectory() as folder:
            store = training_store(checkpoint, tap, Path(folder))
            for seed in SEEDS:
                made = train(
                    store,
                    tap,
                    "topk",
                    {"latents": latents, "k": k},
                    {"tokens": tokens, "batch": 2048, "learning_rate": 2e-3},
                    name=f"{name}-s{seed}",
                    seed=seed,
                )
                made.save(DICTIONARIES / made.name)
                held, dead = made.about["held_out"], made.about["dead"]["share"]
                print(f"{made.name}: {held['explained_variance']:.4f} explained, {dead:.1%} dead", flush=True)


if __name__ == "__main__":
    main()
