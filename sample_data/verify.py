"""Load every sample checkpoint with the Auto classes, or from its description, and measure it again.

    python sample_data/verify.py

The digits are read as the PNG files and pass through each folder's own image processor; the text
passes through the saved tokenizer. Ends with an error where a figure differs from its manifest.
"""

from pathlib import Path

import numpy as np
import torch
from digits import HELDOUT_IMAGES
from manifest import FILE_NAME, read_manifest
from PIL import Image
from train_gpt import SNIPPETS, evaluate, heldout_bytes, sha256
from train_table import ROWS
from transformers import (
    AutoImageProcessor,
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoTokenizer,
    logging,
)

from analysis.sources.checkpoint import open_checkpoint
from analysis.sources.data import open_data

CHECKPOINTS = Path(__file__).parent / "checkpoints"


@torch.no_grad()
def digits_accuracy(folder):
    """Return the share of held-out PNG files that the classifier in the folder names rightly."""
    processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
    network = AutoModelForImageClassification.from_pretrained(
        folder, local_files_only=True, dtype=torch.float32
    ).eval()
    paths = sorted(HELDOUT_IMAGES.glob("*/*.png"))
    inputs = processor([Image.open(path) for path in paths], return_tensors="pt")
    guesses = network(**inputs).logits.argmax(dim=1).tolist()
    names = [network.config.id2label[guess] for guess in guesses]
    return float(np.mean([name == path.parent.name for name, path in zip(names, paths, strict=True)]))


def python_bits(folder):
    """Return bits per byte of the language model in the folder, on the held-out modules."""
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    network = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    for path in SNIPPETS.glob("*.txt"):
        text = path.read_bytes()
        assert tokenizer.encode(text.decode()) == list(text), path
        assert tokenizer.decode(list(text)).encode() == text, path
    return evaluate(network, heldout_bytes())[0]


def table_accuracy(folder):
    """Return the share of held-out rows of the table that the described network in the folder names rightly."""
    loaded, rows = open_checkpoint(folder).load(), open_data(ROWS, id="id", label="label")
    guesses = loaded.forward(loaded.prepare(rows.items(0, len(rows)))).predicted.tolist()
    names = [loaded.class_names[guess] for guess in guesses]
    return float(np.mean([name == rows.classes[k] for name, k in zip(names, rows.labels, strict=True)]))


def main():
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    differing = []
    for manifest_path in sorted(CHECKPOINTS.rglob(FILE_NAME)):
        folder = manifest_path.parent
        manifest = read_manifest(folder)
        if "heldout_bits_per_byte" in manifest:
            if manifest["heldout_sha256"] != sha256(heldout_bytes()):
                print(f"{folder.name}: skipped, this Python has another standard library")
                continue
            written, measured = manifest["heldout_bits_per_byte"], python_bits(folder)
        elif (folder / "network.json").exists():
            written, measured = manifest["heldout_accuracy"], table_accuracy(folder)
        else:
            written, measured = manifest["heldout_accuracy"], digits_accuracy(folder)
        print(f"{folder.relative_to(CHECKPOINTS)}: manifest {written}, measured {measured:.4f}")
        if abs(written - measured) > 1e-3:
            differing.append(folder.name)
    if differing:
        raise SystemExit(f"differs from its manifest: {', '.join(differing)}")


if __name__ == "__main__":
    main()
