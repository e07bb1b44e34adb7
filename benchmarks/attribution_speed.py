"""Ways of saliency against captum's same ones, and occlusion in batches against one call for each window, in one run.

    python benchmarks/attribution_speed.py [--side 32] [--width 16] [--repeats 9]

One image of SIDE x SIDE pixels in a network of four convolutions with GELUs (WIDTH channels) and a head on the mean;
both sides explain the same logit, and how far their maps are apart is printed beside. Timed in turn after a warm-up,
seconds of the processor, the best of the repeats each; one thread. Limits: 1.2 times captum's time for gradient,
gradient x input, integrated gradients (32 Gauss-Legendre nodes, and their residual) and Grad-CAM; occlusion at least 5
times faster in batches than window by window; no growth of memory over 200 further repeats (resident size, less than
2 MiB). Batches save calls, not arithmetic: where one pass is mostly arithmetic (--side 64 --width 32 on one core) they
cannot be 5 times faster. The load of the machine is printed, since other work on it spoils ratios too.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from analysis.attribution import backgrounds, targets
from analysis.attribution.saliency.occlusion import occlusion
from analysis.attribution.saliency.way import Question, Settings
from analysis.attribution.saliency.ways import WAYS
from analysis.attribution.sample_run import SampleRun
from analysis.sources.loaded_model import LoadedModel

CLASS, WINDOW, STRIDE, STEPS, LAYER = 1, 4, 2, 32, "4"


def network(width: int):
    import torch
    from torch import nn

    torch.manual_seed(0)
    layers: list = []
    for i in range(4):
        layers += [nn.Conv2d(3 if i == 0 else width, width, 3, padding=1, stride=1 + i % 2), nn.GELU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)).eval()


def ours(module, image, site: str = "input") -> Question:
    import torch

    made = LoadedModel(module, "array", lambda items: torch.stack([torch.as_tensor(i) for i in items]))
    run = SampleRun(made, image, site)
    target = targets.logit_target(run.logits, answer=CLASS)
    behind = backgrounds.background(backgrounds.ZERO, run.clean)
    return Question(run, target, behind, settings=Settings(steps=STEPS, window=WINDOW, stride=STRIDE))


def pairs(module, image) -> dict[str, tuple[Callable, Callable]]:
    """By way: ours and captum's, each to a map (tokens,)."""
    import torch
    from captum.attr import InputXGradient, IntegratedGradients, LayerGradCam, Occlusion, Saliency

    x, question = torch.as_tensor(image)[None], ours(module, image)
    inside = ours(module, image, LAYER)
    whole = IntegratedGradients(module)

    def flat(found, reduce) -> np.ndarray:
        return reduce(found[0].detach().double().numpy().reshape(found.shape[1], -1))

    def total(a):
        return a.sum(axis=0)

    def integrated():
        found, _ = whole.attribute(x, torch.zeros_like(x), CLASS, n_steps=STEPS, method="gausslegendre",
                                   internal_batch_size=64, return_convergence_delta=True)  # fmt: skip
        return flat(found, total)

    def covered(windows: int):
        found = Occlusion(module).attribute(x, (3, WINDOW, WINDOW), (3, STRIDE, STRIDE), 0, CLASS,
                                            perturbations_per_eval=windows)  # fmt: skip
        return flat(found, lambda a: a[0])

    return {
        "gradient": (
            lambda: WAYS["gradient"].make(question).values,
            lambda: flat(
                Saliency(module).attribute(x, CLASS, abs=False), lambda a: np.linalg.norm(a, axis=0)
            ),
        ),
        "gradient x input": (
            lambda: WAYS["gradient x input"].make(question).values,
            lambda: flat(InputXGradient(module).attribute(x, CLASS), total),
        ),
        "integrated gradients": (lambda: WAYS["integrated gradients"].make(question).values, integrated),
        "Grad-CAM": (
            lambda: WAYS["Grad-CAM"].make(inside).values,
            lambda: flat(
                LayerGradCam(module, module[int(LAYER)]).attribute(x, CLASS, relu_attributions=True), total
            ),
        ),
        "occlusion": (lambda: occlusion(question).values, lambda: covered(256)),
        "occlusion, window by window": (lambda: occlusion(question, rows=1).values, lambda: covered(1)),
    }


def seconds(way: Callable) -> float:
    start = time.process_time()
    way()
    return time.process_time() - start


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=9)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    module = network(asked.width)
    image = np.random.default_rng(0).standard_normal((3, asked.side, asked.side)).astype(np.float32)
    ways, best = pairs(module, image), {}
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    print(f"{'':30}{'ours, ms':>10}{'captum':>10}{'ratio':>8}{'apart':>10}")
    for name, both in ways.items():
        a, b = (way() for way in both)
        apart = np.abs(a - b).max() / np.abs(b).max()
        repeats = asked.repeats if "window by" not in name else 3
        times = np.array([[seconds(way) for way in both] for _ in range(repeats)]).min(axis=0)
        best[name] = times
        print(f"{name:30}{1e3 * times[0]:10.1f}{1e3 * times[1]:10.1f}{times[0] / times[1]:8.2f}{apart:10.1e}")
    batched, single = best["occlusion"], best["occlusion, window by window"]
    print(f"batches against one call for each window: {single[0] / batched[0]:.1f} times faster (limit 5); "
          f"against captum's one call for each window {single[1] / batched[0]:.1f}")  # fmt: skip
    for name in ("gradient", "Grad-CAM", "integrated gradients"):
        for _ in range(20):
            ways[name][0]()
        before = resident()
        for _ in range(200 if name != "integrated gradients" else 20):
            ways[name][0]()
        print(f"{name:30}memory grew by {(resident() - before) / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
