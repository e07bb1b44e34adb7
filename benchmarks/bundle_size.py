"""How large a published bundle is, how long it takes to write, and how soon its first page is there.

    python benchmarks/bundle_size.py [--features N] [--samples N] [--texts] [--directory DIR]

Plants a store of 10,000 pictures (96 x 96 pixels in colour, the largest that a store keeps) or, with --texts, of 1,000
texts of 64 tokens with features that fire on one token of 160; draws a map of it, publishes everything, and opens the
pages in Chromium: by a double click and from `python -m http.server`, each time in a browser that has kept nothing.
Asked: 5,000 cards in at most 150 MB, the first page within 2 s. Also: how long the list and a card take, and the most
memory that the publishing process held. (It says so itself: what the kernel tells its parent begins with the parent's
own peak.)
"""

from __future__ import annotations

import argparse
import io
import json
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

SIDE, CLASSES, TOKENS = 96, 20, 64
BATCH, TEXTS = 500, 50  # samples that are planted at once
PAGES = {
    "first page": ("index.html", ".left-out"),
    "map": ("map.html", "#map-page .panel"),
    "list of all features": ("features.html", ".list .row a"),
    "a card": ("features.html#/feature/planted:layer/{card}", ".sides section"),
}
PUBLISH = """
import sys
from dashboard.cli import main
code = main(sys.argv[1:])
print(*(line for line in open("/proc/self/status") if line.startswith("VmHWM")), file=sys.stderr)
sys.exit(code)
"""
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
    rng, batch = np.random.default_rng(0), TEXTS if texts else BATCH
    means = rng.normal(0, 1, (CLASSES, units)).astype(np.float32)
    spec = TapSpec("layer", units, "float16", "all" if texts else "mean")
    path, names = workspace.new_store_path("planted"), [f"class {c}" for c in range(CLASSES)]
    with StoreWriter.create(path, name="planted", taps=[spec], classes=names) as writer:
        for first in range(0, samples, batch):
            n = min(batch, samples - first)
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
    parser.add_argument("--samples", type=int, help="default: 10,000 pictures, 1,000 texts")
    parser.add_argument("--texts", action="store_true", help="token sequences instead of pictures")
    parser.add_argument("--directory", help="where to write (default: the temporary directory)")
    given = parser.parse_args()
    samples = given.samples or (1000 if given.texts else 10_000)
    with tempfile.TemporaryDirectory(dir=given.directory, prefix="bundle-size-") as folder:
        workspace = Workspace.create(Path(folder) / "w")
        plant(workspace, samples, given.features, given.texts)
        kind = f"texts of {TOKENS} tokens" if given.texts else f"pictures of {SIDE} x {SIDE}"
        print(f"{given.features:,} features of {samples:,} {kind}")
        site = Path(folder) / "site"
        command = [
            sys.executable,
            "-c",
            PUBLISH,
            "publish",
            str(workspace.path),
            "--out",
            str(site),
            "--json",
        ]
        start = time.perf_counter()
        done = subprocess.run(
            [*command, "--most", str(given.features)], check=True, capture_output=True, text=True
        )
        seconds, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        most = int(done.stderr.split("VmHWM:")[1].split()[0])  # KiB
        made = json.loads(done.stdout)
        print(
            f"written in {seconds:.0f} s ({used.ru_utime + used.ru_stime:.0f} s of one core): {made['files']:,} files"
        )
        print(f"size {made['bytes'] / 1e6:.1f} MB (asked: 150), memory at most {most / 1024:,.0f} MiB")
        for part in ("data/taps", "data/samples", "data/maps", "pictures"):
            held = sum(p.stat().st_size for p in (site / part).rglob("*") if p.is_file())
            print(f"  {part:<14} {held / 1e6:8.1f} MB")
        opened(site, given.features // 2)


if __name__ == "__main__":
    main()
