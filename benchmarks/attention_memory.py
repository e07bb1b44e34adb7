"""Attention atlas: peak memory of an atlas over 4,096 tokens, beside the L x H x T² numbers that it never holds.

    python benchmarks/attention_memory.py [--tokens 4096] [--layers 12] [--heads 4] [--samples 2] [--rows]

A language model with random weights is recorded on random words, and the atlas (entropy of rows, with its null) is made
from the store as the page makes it, in a process of its own. Printed are the peak of that process, what it was before
the atlas began, and what the attention of one sample in half, single and double precision would take. Limit: the atlas
adds less than a quarter of one sample's in single precision, of which a pass of the network itself may take 2 / L (two
samples at a time, one layer). With --rows, the same of recorded rows without a network
(one layer, one head: the limit is then that of all samples).
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

WORDS, WIDTH, TAP = [f"w{i}" for i in range(60)], 64, "transformer.h.0"


def made(folder: Path, asked) -> None:
    """A store of a network of so many layers and heads on texts of so many words."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    from analysis.recording.recorder import record
    from analysis.sources.checkpoint import open_checkpoint
    from analysis.sources.data import open_data

    torch.manual_seed(0)
    torch.set_num_threads(1)
    names = ["[PAD]", "[UNK]", *WORDS]
    config = transformers.GPT2Config(
        vocab_size=len(names), n_positions=asked.tokens, n_embd=WIDTH, n_layer=asked.layers, n_head=asked.heads,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    transformers.GPT2LMHeadModel(config).save_pretrained(folder / "net")
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", model_max_length=asked.tokens
    )
    fast.save_pretrained(folder / "net")
    rng = np.random.default_rng(0)
    lines = [" ".join(rng.choice(WORDS, asked.tokens)) for _ in range(asked.samples)]
    (folder / "texts.txt").write_text("\n".join(lines))
    record(open_checkpoint(folder / "net"), open_data(folder / "texts.txt"), folder / "store", name="long",
           taps=TAP, tokens="all", batch=1)  # fmt: skip


def atlas(folder: Path, rows: bool) -> None:
    import torch

    from analysis.methods.tokens.attention_atlas import AttentionAtlasParams, attention_atlas
    from analysis.store.reader import Store
    from analysis.tokens.subject import AUTOMATIC, ROWS

    torch.set_num_threads(1)
    import transformers  # noqa: F401  is opened with the network, and no part of the atlas

    tap = Store.open(folder / "store").activations(TAP)
    before, start = peak(), time.perf_counter()
    params = AttentionAtlasParams(source=ROWS if rows else AUTOMATIC)
    found = attention_atlas(tap, params, np.random.default_rng(0))
    assert rows == ("rows" in found.title)
    print(before, peak(), time.perf_counter() - start, *found.values.shape)


def peak() -> float:
    """Bytes, the most that this process has held."""
    return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (("tokens", 4096), ("layers", 12), ("heads", 4), ("samples", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--rows", action="store_true")
    parser.add_argument("--part", nargs=2, metavar=("PART", "FOLDER"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.part:
        part, folder = asked.part
        made(Path(folder), asked) if part == "make" else atlas(Path(folder), asked.rows)
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, *sys.argv[1:], "--part"]
        subprocess.run([*command, "make", folder], check=True, stdout=subprocess.DEVNULL)
        said = subprocess.run([*command, "atlas", folder], check=True, capture_output=True, text=True).stdout
    before, most, seconds, layers, heads = map(float, said.split()[-5:])
    entries = layers * heads * asked.tokens**2 * (asked.samples if asked.rows else 1)
    whole = {bits: entries * bits / 8 for bits in (16, 32, 64)}
    print(f"{asked.samples} samples of {asked.tokens:,} tokens, {layers:.0f} layers, {heads:.0f} heads; "
          f"{seconds:.0f} s, load {os.getloadavg()[0]:.1f}")  # fmt: skip
    print(
        f"  peak {most / 1e9:.2f} GB, {before / 1e9:.2f} GB before the atlas: it adds {(most - before) / 1e9:.2f} GB"
    )
    print("  attention of " + ("all samples" if asked.rows else "one sample") + " held whole: "
          + ", ".join(f"{size / 1e9:.2f} GB at {bits} bits" for bits, size in whole.items()))  # fmt: skip
    print(f"  added, of that at 32 bits: {(most - before) / whole[32]:.1%}, limit 25 %")


if __name__ == "__main__":
    main()
