"""How large a published bundle is, how long it takes to write, and how soon its first page is there.

    python benchmarks/bundle_size.py [--features N] [--samples N] [--texts] [--directory DIR]

Plants a store of pictures (96 x 96 pixels in colour, the largest that a store keeps) or, with --texts, of token
sequences with sparse features, draws a map of it, publishes everything, and opens the pages in Chromium: by a double
click and from `python -m http.server`, each time in a browser that has kept nothing. Asked: 5,000 cards in at most
150 MB, the first page within 2 s. Also: how long the list and a card take, and the most memory that writing held.
"""

from __future__ import annotations

import argparse
import io
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from loopback import CHROMIUM, FLAGS, free_port, stop, wait_for

from analysis.store.manifest import TapSpec
from analysis.store.writer import StoreWriter, TapBlock
from analysis.workspace import Workspace
from dashboard.publishing.asked import Asked
from dashboard.publishing.bundle import publish

SIDE, CLASSES, TOKENS, BATCH = 96, 20, 64, 500
PAGES = {
    "first page": ("index.html", ".left-out"),
    "map": ("map.html", "#map-page .panel"),
    "list of all features": ("features.html", ".list a.row"),
    "a card": ("features.html#/feature/planted:layer/{card}", ".sides section"),
}
STARTS, ENDS = (
    ("con", "re", "in", "under", "trans", "ob"),
    ("form", "vent", "ject", "port", "vert", " of", "tain", "\n"),
)
WORDS = [start + end for start in STARTS for end in ENDS]


def picture(rng: np.random.Generator, label: int) -> bytes:
    """Smooth colour with some noise: a PNG of about the size of a photograph's thumbnail."""
    from PIL import Image

    grid = np.linspace(0, 3, SIDE) + label
    base = np.stack([np.sin(np.add.outer(grid * k, grid)) for k in (1, 2, 3)], axis=-1)
    pixels = np.clip(128 + 80 * base + rng.normal(0, 6, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def plant(workspace: Workspace, samples: int, units: int, texts: bool) -> None:
    """The store "planted" with the tap "layer"; units follow classes more or less, of texts they fire on few tokens."""
    rng = np.random.default_rng(0)
    means = rng.normal(0, 1, (CLASSES, units)).astype(np.float32)
    spec = TapSpec("layer", units, "float16", "all" if texts else "mean")
    path, names = workspace.new_store_path("planted"), [f"class {c}" for c in range(CLASSES)]
    with StoreWriter.create(path, name="planted", taps=[spec], classes=names) as writer:
        for first in range(0, samples, BATCH):
            n = min(BATCH, samples - first)
            labels = rng.integers(0, CLASSES, n)
            columns = {"id": [f"{first + i:06d}.png" for i in range(n)], "label": labels.tolist()}
            if texts:
                values = np.maximum(rng.standard_normal((n * TOKENS, units), dtype=np.float32) - 2.5, 0)
                block = TapBlock(values.astype(np.float16), np.full(n, TOKENS))
                tokens = [[WORDS[k] for k in rng.integers(0, len(WORDS), TOKENS)] for _ in range(n)]
                writer.append(columns, {"layer": block}, class_index=labels, tokens=tokens)
            else:
                values = means[labels] + rng.standard_normal((n, units), dtype=np.float32)
                pictures = [picture(rng, int(c)) for c in labels]
                writer.append(
                    columns,
                    {"layer": TapBlock(values.astype(np.float16))},
                    class_index=labels,
                    thumbnails=pictures,
                )
        writer.finish()
    workspace.run("pca", ["planted:layer"])


def opened(folder: Path, card: int) -> None:
    """Milliseconds until each page shows what it is for."""
    from playwright.sync_api import sync_playwright

    port = free_port()
    command = [
        sys.executable,
        "-m",
        "http.server",
        str(port),
        "--bind",
        "127.0.0.1",
        "--directory",
        str(folder),
    ]
    server = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_for(port, server)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            for way, base in (
                ("double click", folder.as_uri() + "/"),
                ("http.server", f"http://127.0.0.1:{port}/"),
            ):
                for name, (path, selector) in PAGES.items():
                    print(
                        f"{name + ', ' + way:<40} {median(browser, base + path.format(card=card), selector):8.0f} ms"
                    )
            browser.close()
    finally:
        stop(server)


def median(browser, url: str, selector: str, runs: int = 5) -> float:
    """Of opening a page anew in a browser that has kept nothing."""
    times = []
    for _ in range(runs):
        context = browser.new_context()
        page = context.new_page()
        start = time.perf_counter()
        page.goto(url)
        page.wait_for_selector(selector)
        times.append(1000 * (time.perf_counter() - start))
        context.close()
    return float(np.median(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=int, default=5000)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--texts", action="store_true", help="token sequences instead of pictures")
    parser.add_argument("--directory", help="where to write (default: the temporary directory)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.directory, prefix="bundle-size-") as folder:
        workspace = Workspace.create(Path(folder) / "w")
        plant(workspace, given.samples, given.features, given.texts)
        kind = f"texts of {TOKENS} tokens" if given.texts else f"pictures of {SIDE} x {SIDE}"
        print(f"{given.features:,} features of {given.samples:,} {kind}")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        start, worked = time.perf_counter(), time.process_time()
        made = publish(workspace, Path(folder) / "site", Asked(most=given.features))
        seconds, worked = time.perf_counter() - start, time.process_time() - worked
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"written in {seconds:.0f} s ({worked:.0f} s of one core): {made.n_files:,} files")
        print(f"size {made.n_bytes / 1e6:.1f} MB (asked: 150)")
        print(
            f"memory: {peak:,.0f} MiB at most, of which {before:,.0f} before (the store was made in the same process)"
        )
        for part in ("data/taps", "data/samples", "data/maps", "pictures"):
            held = sum(p.stat().st_size for p in (made.path / part).rglob("*") if p.is_file())
            print(f"  {part:<14} {held / 1e6:8.1f} MB")
        opened(made.path, given.features // 2)


if __name__ == "__main__":
    main()
