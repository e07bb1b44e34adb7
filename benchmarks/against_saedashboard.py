"""Cards a minute, against SAEDashboard on the same small model, dictionary and tokens.

    python benchmarks/against_saedashboard.py [--sequences 16384] [--latents 4096] [--features 256] [--threads 1]
                                              [--python PEER]

The peer, in an environment of its own (made by pip in the temporary directory, or PEER): `SaeVisRunner.run` with its
normal layout on a random transformer of two layers and a random TopK dictionary of SAELens, for `features` latents, in
its normal batches of 256: for each batch it goes over all tokens. Ours from the activations of that model at the same
place, whose recording there is timed and added: store with index, `Workspace.encode`, what fires together, and for as
many random latents everything on a card (`latent_card.py`: examples, histogram, classes, density, weaker examples,
nearest directions, correlated latents and neurons) and the logits that its direction raises and lowers. What is done
once is counted whole and spread over all latents; the peer does it again for each batch. Neither writes pages. The
same number of threads, each in a process of its own. Limit: 20 x.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

UNITS, WORDS, LENGTH, ACTIVE, HOOK = 64, 500, 64, 32, "blocks.1.hook_resid_post"


def peer(folder: Path, asked) -> dict:
    import torch
    from sae_dashboard.sae_vis_data import SaeVisConfig
    from sae_dashboard.sae_vis_runner import SaeVisRunner
    from sae_lens import HookedSAETransformer
    from sae_lens.saes.topk_sae import TopKSAE, TopKSAEConfig
    from transformer_lens import HookedTransformerConfig

    torch.set_num_threads(asked.threads)
    torch.manual_seed(0)
    shape = {"n_layers": 2, "d_model": UNITS, "n_ctx": LENGTH, "d_head": 16, "n_heads": 4, "d_vocab": WORDS}
    model = HookedSAETransformer(
        HookedTransformerConfig(**shape, d_mlp=256, act_fn="relu", seed=0, device="cpu")
    )
    about = TopKSAEConfig(d_in=UNITS, d_sae=asked.latents, k=ACTIVE, rescale_acts_by_decoder_norm=True)
    sae = TopKSAE(about)  # its decoder rows have length 1
    sae.cfg.metadata.hook_name = HOOK
    with torch.no_grad():
        decoder = torch.nn.functional.normalize(torch.randn(asked.latents, UNITS), dim=1)
        sae.W_dec.copy_(decoder)
        sae.W_enc.copy_(decoder.T)
    tokens = torch.randint(0, WORDS, (asked.sequences, LENGTH))
    wall, busy = time.perf_counter(), time.process_time()
    with torch.inference_mode():
        found = [model.run_with_cache(t, names_filter=HOOK)[1][HOOK] for t in tokens.split(64)]
    forward = time.perf_counter() - wall, time.process_time() - busy
    arrays = {"x": torch.cat(found), "tokens": tokens, "decoder": decoder, "unembedding": model.W_U.detach()}
    np.savez(folder / "given.npz", **{k: v.numpy() for k, v in arrays.items()})
    wall, busy = time.perf_counter(), time.process_time()
    made = SaeVisRunner(SaeVisConfig(hook_point=HOOK, features=range(asked.features))).run(sae, model, tokens)
    took = time.perf_counter() - wall, time.process_time() - busy
    return {"forward": forward, "seconds": took, "features": len(made.feature_data_dict)}


def ours(folder: Path, asked) -> dict:
    from latent_card import bands, card, correlated, decoder_neighbours

    from analysis import pipeline
    from analysis.features import rules
    from analysis.features.feature_set import FeatureSet
    from analysis.store.from_arrays import write_store
    from analysis.workspace import Workspace

    given, none = np.load(folder / "given.npz"), np.zeros(UNITS)
    decoder, space = given["decoder"], Workspace.create(folder / "w")
    made = FeatureSet("d", rules.TOPK, decoder.T, decoder, np.zeros(len(decoder)), none, none, active=ACTIVE)
    space.features.add(made)
    words = [[f"w{t}" for t in line] for line in given["tokens"]]
    chosen = np.random.default_rng(0).choice(asked.latents, asked.features, replace=False)
    warm(space, made, given["x"][:8])  # loops are compiled once for an installation
    clock = [(time.perf_counter(), time.process_time())]
    write_store(space.new_store_path("s"), name="s", taps={"m": given["x"]}, tokens=words)
    reference = space.encode("s:m", "d")
    pipeline.run("co_activation", [space.activations(reference)])
    clock.append((time.perf_counter(), time.process_time()))
    store, unembedding = space.store("s"), given["unembedding"]
    for j in map(int, chosen):
        card(store, reference, j)
        bands(store, reference, j)
        decoder_neighbours(space, store, reference, j)
        correlated(store, reference, j)
        logits = decoder[j] @ unembedding
        np.histogram(logits, 64)
        np.argsort(logits)
    clock.append((time.perf_counter(), time.process_time()))
    once, cards = (np.subtract(b, a).tolist() for a, b in pairwise(clock))
    return {"once": once, "cards": cards}


def warm(space, made, x: np.ndarray) -> None:
    from latent_card import bands, card, correlated

    from analysis.store.from_arrays import write_store

    write_store(space.new_store_path("warm"), name="warm", taps={"m": x})
    reference = space.encode("warm:m", made.name)
    for act in (card, bands, correlated):  # and their libraries imported, as in a running server
        act(space.store("warm"), reference, int(np.argmax(space.store("warm").index("m@d").table()["mean"])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sizes = {"sequences": 16384, "latents": 4096, "features": 256, "threads": 1}
    for name, default in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--python", help="interpreter of an environment with sae-dashboard")
    for hidden in ("--side", "--folder"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.side:
        if asked.side == "ours":
            sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
        print("\n" + json.dumps({"ours": ours, "peer": peer}[asked.side](Path(asked.folder), asked)))
        return
    from peer_environment import last_line, peer_python

    packages = ["torch==2.13.0", "sae-dashboard", "sae-lens", "pyarrow<20"]
    python = peer_python(asked.python, "saedashboard-environment", packages, ("torchvision", "torchaudio"))
    folder, done = Path(tempfile.mkdtemp(prefix="against-saedashboard-")), {}
    try:
        for side, interpreter in (("peer", python), ("ours", sys.executable)):
            given = [f"--{k}={getattr(asked, k)}" for k in sizes] + [f"--side={side}", f"--folder={folder}"]
            done[side] = json.loads(last_line(interpreter, __file__, given, asked.threads))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    said(done["peer"], done["ours"], asked)


def said(peer: dict, ours: dict, asked) -> None:
    print(f"{asked.latents} latents, {asked.sequences * LENGTH:,} tokens, {asked.threads} thread(s)")
    for k, clock in enumerate(("wall", "processor")):
        theirs = 60 * peer["features"] / peer["seconds"][k]
        once, cards = ours["once"][k] + peer["forward"][k], ours["cards"][k] * asked.latents / asked.features
        rate = 60 * asked.latents / (once + cards)
        print(
            f"  {clock + ' time':14} SAEDashboard {theirs:9,.0f} features a minute ({peer['features']} in one run)"
        )
        print(
            f"{'':17}ours {rate:17,.0f}: {once:.1f} s once (forward pass {peer['forward'][k]:.1f}), "
            f"{1000 * ours['cards'][k] / asked.features:.1f} ms a card; ratio {rate / theirs:.1f}   (limit 20)"
        )


if __name__ == "__main__":
    main()
