"""What recording costs beyond the forward passes, and whether memory grows with the number of samples.

    python benchmarks/recording_speed.py            ratios of one run on this machine
    python benchmarks/recording_speed.py --json     the same as one JSON line

Speed: the 12 block outputs of a ViT-S-sized network with random weights (197 tokens of 384, all kept, float16,
feature index included) against the forward passes alone: same batches, inference_mode, preparing not counted. The
two are run in turn, and the ratio is that of the medians. Limit: 1.3. The ratio of processor seconds is beside it:
on a machine that others use as well it is the steadier of the two.

Memory: a process that records 50,000 samples of a small transformer against one that records 1,000, by the
kernel's own peak of resident memory. Limit: 1.1.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

LIMITS = {"speed": 1.3, "memory": 1.1}


def vit(size: int, layers: int, heads: int, image: int, patch: int):
    """A ViT with random weights, without a head."""
    import torch
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(0)
    return ViTModel(
        ViTConfig(
            hidden_size=size, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=4 * size,
            image_size=image, patch_size=patch,
        ),
        add_pooling_layer=False,
    ).eval()  # fmt: skip


def data_of(n: int, image: int):
    """`n` random pictures, a few hundred of them different, without storing them all."""
    from analysis.sources.data_source import DataSource

    pool = np.random.default_rng(0).standard_normal((256, 3, image, image), dtype=np.float32)

    class Pictures(DataSource):
        def items(self, start: int, stop: int) -> list:
            return [pool[i % len(pool)] for i in range(start, stop)]

        def content(self) -> str:
            return f"random {image}"

    return Pictures("array", "random pictures", Path("."), np.arange(n).astype(str))


def loaded_of(module):
    """As `open_checkpoint(module).load()`, with inputs stacked and nothing else."""
    import torch

    module.prepare = lambda items: torch.from_numpy(np.stack(items))
    from analysis.sources.checkpoint import open_checkpoint

    checkpoint = open_checkpoint(module)
    return checkpoint, checkpoint.load()


def forward_seconds(loaded, data, batch: int) -> tuple[float, float]:
    """Wall and processor seconds of the forward passes."""
    import torch

    total = used = 0.0
    with torch.inference_mode():
        for start in range(0, len(data), batch):
            inputs = loaded.prepare(data.items(start, min(start + batch, len(data))))
            began, began_used = time.perf_counter(), time.process_time()
            loaded.module(inputs)
            total += time.perf_counter() - began
            used += time.process_time() - began_used
    return total, used


def record_seconds(checkpoint, loaded, data, batch: int, taps) -> tuple[float, float]:
    """Wall and processor seconds of a whole recording: dry run, passes, writing, index."""
    from analysis.recording.recorder import record

    with tempfile.TemporaryDirectory(prefix="loupe-benchmark-") as folder:
        began, began_used = time.perf_counter(), time.process_time()
        record(
            checkpoint, data, Path(folder) / "store", name="benchmark", taps=taps, tokens="all", batch=batch,
            loaded=loaded,
        )  # fmt: skip
        return time.perf_counter() - began, time.process_time() - began_used


def speed(samples: int, batch: int, repeats: int) -> dict:
    """Medians over `repeats` pairs, one uncounted pair first (Numba compiles its kernels, torch its plans)."""
    checkpoint, loaded = loaded_of(vit(384, 12, 6, 224, 16))
    taps = [f"layers.{i}" for i in range(12)]
    warm = data_of(2 * batch, 224)
    forward_seconds(loaded, warm, batch)
    record_seconds(checkpoint, loaded, warm, batch, taps)
    data = data_of(samples, 224)
    forward, recorded = [], []
    for _ in range(repeats):
        forward.append(forward_seconds(loaded, data, batch))
        recorded.append(record_seconds(checkpoint, loaded, data, batch, taps))
    wall, used = (
        statistics.median(r[k] for r in recorded) / statistics.median(f[k] for f in forward) for k in (0, 1)
    )
    return {
        "samples": samples, "batch": batch, "forward_s": [round(s, 2) for s, _ in forward],
        "record_s": [round(s, 2) for s, _ in recorded], "ratio": round(wall, 3), "processor_ratio": round(used, 3),
    }  # fmt: skip


def peak_of(samples: int) -> float:
    """Peak resident memory, MB, of a fresh process that records so many samples."""
    run = subprocess.run(
        [sys.executable, __file__, "--peak", str(samples)], check=True, capture_output=True, text=True
    )
    return float(run.stdout.split()[-1])


def print_peak(samples: int) -> None:
    checkpoint, loaded = loaded_of(vit(64, 4, 4, 16, 4))
    record_seconds(checkpoint, loaded, data_of(samples, 16), 250, [f"layers.{i}" for i in range(4)])
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--samples", type=int, default=512)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", choices=("speed", "memory"))
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peak:
        print_peak(given.peak)
        return
    found: dict = {}
    if given.only != "memory":
        found["speed"] = speed(given.samples, given.batch, given.repeats)
    if given.only != "speed":
        few, many = peak_of(1_000), peak_of(50_000)
        found["memory"] = {"mb_1000": round(few), "mb_50000": round(many), "ratio": round(many / few, 3)}
    if given.json:
        print(json.dumps(found))
        return
    for name, numbers in found.items():
        verdict = "within" if numbers["ratio"] <= LIMITS[name] else "ABOVE"
        print(f"{name}: ratio {numbers['ratio']} ({verdict} the limit {LIMITS[name]}) {numbers}")


if __name__ == "__main__":
    main()
