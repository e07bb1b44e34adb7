"""Write the handwritten digits as files: a folder of held-out images and one array file.

    python sample_data/digits.py

The 1,797 images of scikit-learn (8x8 pixels, values 0..16) become 8-bit grey images.
450 of them, the same share of every class, are held out of all training.
"""

import shutil
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

DATA = Path(__file__).parent / "data"
ARRAYS = DATA / "digits.npz"
HELDOUT_IMAGES = DATA / "digits_heldout"
HELDOUT_COUNT = 450
SPLIT_SEED = 0


def build_arrays():
    """Return images (uint8, 0..255), labels and the split ('train' or 'heldout') of each image."""
    digits = load_digits()
    images = np.round(digits.images * 255 / 16).astype(np.uint8)
    labels = digits.target.astype(np.int64)
    _, heldout = train_test_split(
        np.arange(len(labels)),
        test_size=HELDOUT_COUNT,
        stratify=labels,
        random_state=SPLIT_SEED,
    )
    split = np.full(len(labels), "train", dtype="<U7")
    split[heldout] = "heldout"
    return images, labels, split


def load_split(name):
    """Return (images, labels) of one split, 'train' or 'heldout', from the array file."""
    with np.load(ARRAYS, allow_pickle=False) as arrays:
        chosen = arrays["split"] == name
        return arrays["images"][chosen], arrays["labels"][chosen]


def write_image_folder(images, labels, indices, folder):
    """Write images[indices] as <folder>/<label>/<index>.png, replacing an older folder."""
    shutil.rmtree(folder, ignore_errors=True)
    for index in indices:
        target = folder / str(labels[index]) / f"{index:04d}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[index]).save(target, optimize=True)


def main():
    images, labels, split = build_arrays()
    DATA.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(ARRAYS, images=images, labels=labels, split=split)
    heldout = np.flatnonzero(split == "heldout")
    write_image_folder(images, labels, heldout, HELDOUT_IMAGES)
    print(f"{len(images)} images, {len(heldout)} of them held out")


if __name__ == "__main__":
    main()
