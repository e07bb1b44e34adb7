"""Train the sample digit classifiers: two small ViTs, one of them with its history, and a ResNet.

    python sample_data/digits.py         (first, once)
    python sample_data/train_digits.py

Every checkpoint is a Hugging Face folder that the Auto classes load. The step count of each run
is fixed beforehand: held-out images choose neither a checkpoint nor when to stop.
"""

import math
import shutil
import time
from pathlib import Path

import torch
from digits import HELDOUT_IMAGES, load_split
from half import rounded, save_half
from manifest import library_versions, write_manifest
from torch.nn import functional as F
from transformers import (
    ResNetConfig,
    ResNetForImageClassification,
    ViTConfig,
    ViTForImageClassification,
    logging,
)
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

CHECKPOINTS = Path(__file__).parent / "checkpoints"
LABELS = {digit: str(digit) for digit in range(10)}
LABEL_FIELDS = {"id2label": LABELS, "label2id": {name: digit for digit, name in LABELS.items()}}

# Pixels 0..255 become values -1..1.
SCALE, MEAN, STD = 1 / 255, 0.5, 0.5
VIT_PIXELS = 8
# The stem of the Hugging Face ResNet shrinks its input four times and cannot be set otherwise,
# so the ResNet sees every pixel as a 4x4 square: its first stage then works at 8x8.
RESNET_PIXELS = 32

VIT_STEPS = 2048
RESNET_STEPS = 1024
KEPT_STEPS = [0, *(2**power for power in range(3, 12))]  # 0, 8, 16, ... 2048
BATCH = 128


def build_vit():
    """Return an untrained ViT: 16 patches of 2x2 pixels and a class token."""
    return ViTForImageClassification(
        ViTConfig(
            image_size=VIT_PIXELS,
            patch_size=2,
            num_channels=1,
            hidden_size=48,
            intermediate_size=96,
            num_hidden_layers=4,
            num_attention_heads=4,
            **LABEL_FIELDS,
        )
    )


def build_resnet():
    """Return an untrained ResNet: three stages of one basic block each."""
    return ResNetForImageClassification(
        ResNetConfig(
            num_channels=1,
            embedding_size=16,
            hidden_sizes=[16, 32, 64],
            depths=[1, 1, 1],
            layer_type="basic",
            **LABEL_FIELDS,
        )
    )


def build_processor(pixels):
    """Return the image processor that turns a grey image into the network's input."""
    return ViTImageProcessorPil(
        size={"height": pixels, "width": pixels},
        resample=0,  # nearest: an enlarged image keeps its pixels
        rescale_factor=SCALE,
        image_mean=[MEAN],
        image_std=[STD],
        do_convert_rgb=False,
    )


def to_pixel_values(images, pixels):
    """Do in one batch what the image processor does: images are (n, 1, 8, 8) with values 0..255."""
    return (F.interpolate(images * SCALE, size=(pixels, pixels), mode="nearest") - MEAN) / STD


def augment(images, generator, most_degrees=15.0, most_pixels=1.0):
    """Turn and shift half of the images a little, at random; leave the others as they are."""
    count, _, _, width = images.shape
    draw = torch.rand(3, count, generator=generator) * 2 - 1
    draw *= torch.rand(count, generator=generator) < 0.5
    angle = draw[0] * math.radians(most_degrees)
    shift = draw[1:] * most_pixels * 2 / width
    cos, sin = angle.cos(), angle.sin()
    rows = [torch.stack([cos, -sin, shift[0]], dim=1), torch.stack([sin, cos, shift[1]], dim=1)]
    grid = F.affine_grid(torch.stack(rows, dim=1), images.shape, align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def tensors(split):
    """Return (images, labels) of a split as tensors, the images (n, 1, 8, 8) with values 0..255."""
    images, labels = load_split(split)
    return torch.from_numpy(images).float().unsqueeze(1), torch.from_numpy(labels)


@torch.no_grad()
def evaluate(network, pixels, split="heldout"):
    """Return accuracy and mean cross-entropy (nats) on a split."""
    network.eval()
    images, labels = tensors(split)
    logits = network(pixel_values=to_pixel_values(images, pixels)).logits
    accuracy = (logits.argmax(dim=1) == labels).float().mean().item()
    return accuracy, F.cross_entropy(logits, labels).item()


def save_checkpoint(folder, network, pixels, what, seed, step, steps):
    """Write network, image processor and manifest into a folder, replacing an older one.

    The manifest's figures are those of the network as it is stored.
    """
    shutil.rmtree(folder, ignore_errors=True)
    save_half(network, folder)
    build_processor(pixels).save_pretrained(folder)
    accuracy, loss = evaluate(rounded(network), pixels)
    labels = tensors("heldout")[1]
    train_count = len(tensors("train")[1])
    write_manifest(
        folder,
        what=what,
        script="sample_data/train_digits.py",
        seed=seed,
        step=step,
        steps_total=steps,
        training_data=f"{train_count} of scikit-learn's handwritten digits, turned up to 15 degrees"
        " and shifted up to 1 pixel",
        heldout_data=f"sample_data/data/{HELDOUT_IMAGES.name}",
        heldout_samples=len(labels),
        heldout_accuracy=round(accuracy, 4),
        heldout_loss=round(loss, 4),
        input={
            "size": [pixels, pixels],
            "channels": 1,
            "resample": "nearest",
            "scale": SCALE,
            "mean": [MEAN],
            "std": [STD],
        },
        versions=library_versions("torch", "transformers", "safetensors", "scikit-learn", "numpy"),
    )
    print(f"{folder.name}: held-out accuracy {accuracy:.4f}, loss {loss:.4f}", flush=True)


def train(build, pixels, what, seed, steps, peak_rate, folder, kept_steps=()):
    """Train one network and save it; also save it at kept_steps, in <folder>-steps/."""
    torch.manual_seed(seed)
    network = build()
    generator = torch.Generator().manual_seed(seed)
    images, labels = tensors("train")
    optimizer = torch.optim.AdamW(network.parameters(), lr=peak_rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak_rate, total_steps=steps, pct_start=0.1)
    history = folder.with_name(folder.name + "-steps")
    for step in range(steps + 1):
        if step in kept_steps:
            target = history / f"step-{step:05d}"
            save_checkpoint(target, network, pixels, what, seed, step, steps)
        if step == steps:
            break
        network.train()
        chosen = torch.randint(len(images), (BATCH,), generator=generator)
        inputs = to_pixel_values(augment(images[chosen], generator), pixels)
        loss = F.cross_entropy(network(pixel_values=inputs).logits, labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    save_checkpoint(folder, network, pixels, what, seed, steps, steps)


def main():
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    started = time.time()
    for seed in (0, 1):
        train(
            build_vit,
            VIT_PIXELS,
            "vision transformer that names a handwritten digit",
            seed,
            VIT_STEPS,
            peak_rate=2e-3,
            folder=CHECKPOINTS / f"digits-vit-seed{seed}",
            kept_steps=KEPT_STEPS if seed == 0 else (),
        )
    train(
        build_resnet,
        RESNET_PIXELS,
        "residual convolutional network that names a handwritten digit",
        0,
        RESNET_STEPS,
        peak_rate=3e-3,
        folder=CHECKPOINTS / "digits-resnet",
    )
    print(f"{time.time() - started:.0f} seconds")


if __name__ == "__main__":
    main()
