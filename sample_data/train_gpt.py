"""Train the sample language model: a byte-level GPT-2 on the Python standard library.

    python sample_data/train_gpt.py

The text is the source of named modules of the running interpreter (PSF licence); whole modules are
held out. The network is compared, on the same held-out bytes, with interpolated n-gram models
counted on the same training text. Two runs with two threads agree to about 0.01 bits per byte.
"""

import hashlib
import math
import random
import shutil
import sysconfig
import time
from pathlib import Path

import numpy as np
import torch
from half import rounded, save_half
from manifest import library_versions, write_manifest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast, logging

STANDARD_LIBRARY = Path(sysconfig.get_paths()["stdlib"])
DATA = Path(__file__).parent / "data"
SNIPPETS = DATA / "python_heldout"
LICENCE = DATA / "LICENSE-PSF.txt"
CHECKPOINT = Path(__file__).parent / "checkpoints" / "python-gpt"

HELDOUT_MODULES = ["csv", "difflib", "filecmp", "hmac", "queue", "sched", "shlex", "timeit", "zipapp"]
TRAIN_MODULES = """
    argparse ast asyncio/base_events asyncio/events asyncio/locks asyncio/queues
    asyncio/selector_events asyncio/streams asyncio/tasks asyncio/unix_events base64 bdb bisect bz2
    calendar cmd code compileall concurrent/futures/_base concurrent/futures/process
    concurrent/futures/thread configparser contextlib copy dataclasses dis doctest email/header
    email/message email/utils enum fileinput fnmatch fractions ftplib functools getopt getpass
    gettext glob graphlib gzip hashlib heapq html/parser http/client http/cookiejar http/server
    imaplib importlib/_bootstrap importlib/_bootstrap_external inspect ipaddress json/decoder
    json/encoder linecache locale lzma mailbox mimetypes multiprocessing/connection
    multiprocessing/managers multiprocessing/pool multiprocessing/util netrc numbers operator os
    pathlib pdb pickle pickletools pkgutil plistlib poplib posixpath pprint pyclbr random reprlib
    runpy secrets selectors shelve shutil site smtplib socket socketserver ssl statistics string
    subprocess symtable sysconfig tabnanny tempfile threading tokenize traceback tracemalloc types
    typing unittest/case unittest/loader unittest/main unittest/mock unittest/suite urllib/parse
    urllib/request uuid warnings weakref webbrowser wsgiref/handlers zipfile zipimport
""".split()  # noqa: SIM905

SEED = 0
CONTEXT = 128
STEPS = 2000
BATCH = 32
PEAK_RATE = 3e-3
SNIPPETS_PER_MODULE = 2
SNIPPET_BYTES = 128


def module_bytes(name):
    """Return the source of one standard library module."""
    return (STANDARD_LIBRARY / f"{name}.py").read_bytes()


def joined_bytes(names):
    """Return the sources of the named modules, one after the other, as an array of bytes."""
    return np.frombuffer(b"".join(module_bytes(name) for name in names), dtype=np.uint8)


def sha256(text):
    """Return the SHA-256 of an array of bytes."""
    return hashlib.sha256(text.tobytes()).hexdigest()


def heldout_bytes():
    """Return the held-out text, cut where the network's last whole window ends."""
    text = joined_bytes(sorted(HELDOUT_MODULES))
    return text[: len(text) // (CONTEXT // 2) * (CONTEXT // 2)]


# --- the n-gram baseline --------------------------------------------------------------------------


def gram_codes(text, length):
    """Number every run of `length` bytes: the code at position i is of the run that starts at i."""
    codes = np.zeros(len(text) - length + 1, dtype=np.int64)
    for offset in range(length):
        codes = codes * 256 + text[offset : len(text) - length + 1 + offset]
    return codes


def ngram_bits(train_text, test_text, order, first):
    """Return bits per byte of an interpolated n-gram model on test_text[first:].

    Interpolation is Witten-Bell's: a context seen `total` times with `kinds` different next bytes
    gives the shorter context's probability the weight kinds / (total + kinds).
    """
    probability = np.full(len(test_text) - first, 1 / 256)
    for length in range(1, order + 1):
        grams, counts = np.unique(gram_codes(train_text, length), return_counts=True)
        contexts, starts, kinds = np.unique(grams // 256, return_index=True, return_counts=True)
        totals = np.add.reduceat(counts, starts)

        test_grams = gram_codes(test_text, length)[first - length + 1 :]
        at = np.minimum(np.searchsorted(grams, test_grams), len(grams) - 1)
        count = np.where(grams[at] == test_grams, counts[at], 0)
        at = np.minimum(np.searchsorted(contexts, test_grams // 256), len(contexts) - 1)
        known = contexts[at] == test_grams // 256
        mixed = (count + kinds[at] * probability) / (totals[at] + kinds[at])
        probability = np.where(known, mixed, probability)
    return float(-np.log2(probability).mean())


# --- the network ----------------------------------------------------------------------------------


def byte_symbols():
    """Return GPT-2's printable symbol for each byte value, in the order of the bytes."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte if byte in printable else 256 + others.index(byte)) for byte in range(256)]


def build_tokenizer():
    """Return a tokenizer that gives one token a byte, its id the value of the byte."""
    vocabulary = {symbol: byte for byte, symbol in enumerate(byte_symbols())}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def build_network():
    """Return an untrained GPT-2 over bytes."""
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=256,
            n_positions=CONTEXT,
            n_embd=80,
            n_layer=4,
            n_head=4,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=None,
            eos_token_id=None,
        )
    )


def train(network, text):
    """Train on random windows of the text, for STEPS steps."""
    generator = torch.Generator().manual_seed(SEED)
    windows = torch.from_numpy(text.astype(np.int64)).unfold(0, CONTEXT + 1, 1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=STEPS, pct_start=0.05)
    network.train()
    for step in range(1, STEPS + 1):
        batch = windows[torch.randint(len(windows), (BATCH,), generator=generator)]
        logits = network(input_ids=batch[:, :-1]).logits
        loss = F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 200 == 0:
            print(f"step {step}: {loss.item() / math.log(2):.3f} bits per byte", flush=True)


@torch.no_grad()
def evaluate(network, text):
    """Return (bits per byte, share of bytes guessed right, bytes scored) of the network.

    Windows overlap by half, and each scores the bytes after its first half: every byte from
    CONTEXT // 2 on is scored once, with at least CONTEXT // 2 bytes before it.
    """
    network.eval()
    half = CONTEXT // 2
    windows = torch.from_numpy(text.astype(np.int64)).unfold(0, CONTEXT, half)
    losses, hits = [], []
    for batch in windows.split(64):
        logits = network(input_ids=batch).logits[:, half - 1 : -1].flatten(0, 1)
        targets = batch[:, half:].flatten()
        losses.append(F.cross_entropy(logits, targets, reduction="none"))
        hits.append(logits.argmax(dim=1) == targets)
    losses, hits = torch.cat(losses), torch.cat(hits)
    return losses.mean().item() / math.log(2), hits.float().mean().item(), len(losses)


# --- what is written ------------------------------------------------------------------------------


def write_snippets():
    """Write SNIPPETS_PER_MODULE ASCII pieces of each held-out module, each from a line's start."""
    shutil.rmtree(SNIPPETS, ignore_errors=True)
    SNIPPETS.mkdir(parents=True)
    draw = random.Random(SEED)
    for name in HELDOUT_MODULES:
        source = module_bytes(name)
        starts = [at + 1 for at, byte in enumerate(source) if byte == ord("\n")]
        draw.shuffle(starts)
        kept = []
        for start in starts:
            piece = source[start : start + SNIPPET_BYTES]
            apart = all(abs(start - other) >= SNIPPET_BYTES for other in kept)
            if apart and len(piece) == SNIPPET_BYTES and piece.isascii():
                (SNIPPETS / f"{name}-{start:05d}.txt").write_bytes(piece)
                kept.append(start)
            if len(kept) == SNIPPETS_PER_MODULE:
                break


def write_licence():
    """Write the licence of the Python sources, with a note of what was taken from them."""
    source = STANDARD_LIBRARY / "LICENSE.txt"
    if not source.exists():  # some distributions leave it out: keep the file that is there
        return
    modules = ", ".join(HELDOUT_MODULES)
    note = f"""\
The files in {SNIPPETS.name}/ are pieces of these modules of the Python standard library,
version {library_versions()["python"]}: {modules}.
The network checkpoints/{CHECKPOINT.name} was trained on other modules of it.
Copyright (c) 2001-2023 Python Software Foundation; All Rights Reserved.
Python's licence follows as it stands.

"""
    LICENCE.write_text(note + source.read_text())


def save_checkpoint(network, train_text, heldout_text):
    """Measure the network as it is stored; write it, its tokenizer and its manifest, replacing older ones."""
    baselines = {
        f"{order}-gram": ngram_bits(train_text, heldout_text, order, first=CONTEXT // 2)
        for order in (1, 2, 3, 4, 5, 6)
    }
    print({name: round(bits, 3) for name, bits in baselines.items()}, flush=True)
    bits, accuracy, scored = evaluate(rounded(network), heldout_text)
    if bits >= baselines["3-gram"]:
        raise SystemExit(f"the network ({bits:.3f}) is no better than the 3-gram model")

    shutil.rmtree(CHECKPOINT, ignore_errors=True)
    save_half(network, CHECKPOINT)
    build_tokenizer().save_pretrained(CHECKPOINT)
    write_manifest(
        CHECKPOINT,
        what="byte-level language model of Python source text",
        script="sample_data/train_gpt.py",
        seed=SEED,
        step=STEPS,
        steps_total=STEPS,
        training_data=f"{len(TRAIN_MODULES)} modules of the Python standard library (PSF licence)",
        training_bytes=len(train_text),
        training_sha256=sha256(train_text),
        heldout_data="the standard library modules " + ", ".join(HELDOUT_MODULES),
        heldout_sha256=sha256(heldout_text),
        heldout_samples=scored,
        heldout_sample_unit="byte",
        heldout_accuracy=round(accuracy, 4),
        heldout_loss=round(bits * math.log(2), 4),
        heldout_bits_per_byte=round(bits, 4),
        baseline="interpolated n-gram over bytes (Witten-Bell), same training text, same bytes",
        baseline_bits_per_byte={name: round(bits, 4) for name, bits in baselines.items()},
        input={"tokens": "one a byte, id = value of the byte", "context": CONTEXT},
        versions=library_versions("torch", "transformers", "tokenizers", "safetensors", "numpy"),
    )
    print(f"held-out: {bits:.3f} bits per byte, {accuracy:.3f} of {scored} bytes right")


def main():
    torch.set_num_threads(2)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    started = time.time()
    write_snippets()
    write_licence()

    train_text = joined_bytes(sorted(TRAIN_MODULES))
    heldout_text = heldout_bytes()
    torch.manual_seed(SEED)
    network = build_network()
    train(network, train_text)
    save_checkpoint(network, train_text, heldout_text)
    print(f"{time.time() - started:.0f} seconds")


if __name__ == "__main__":
    main()
