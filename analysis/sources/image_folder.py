"""A folder of images, one sample each. Pillow reads them; every file is decoded once when the folder is opened.

Decoding at once is what lets a broken image among many be skipped and listed: ids are fixed from then on. JPEGs
are decoded at an eighth of their size for it, which reads every byte but costs a quarter.
"""

from __future__ import annotations

import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from analysis.errors import InputError
from analysis.sources.data_source import DataSource, checked_range
from analysis.sources.digests import bytes_digest, text_digest
from analysis.sources.folders import list_folder
from analysis.sources.pictures import FORMATS
from analysis.sources.thumbnails import image_thumbnail
from analysis.spec import Progress, no_progress

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
READERS = 4


@dataclass
class ImageFolder(DataSource):
    """Images as Pillow images in their own mode and size, turned upright by their EXIF tag."""

    paths: list[Path] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)

    def items(self, start: int, stop: int) -> list:
        return [load_image(self.paths[i]) for i in checked_range(start, stop, len(self))]

    def thumbnails(self, start: int, stop: int) -> list[bytes]:
        return [image_thumbnail(image) for image in self.items(start, stop)]

    def media_path(self, i: int) -> str:
        return str(self.paths[i])

    def media_digest(self, i: int) -> str:
        return self.digests[i]

    def content(self) -> str:
        return text_digest(self.digests)


def load_image(path: Path):
    """One decoded image. Raises InputError when it has become unreadable since it was listed."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path, formats=FORMATS) as image:
            image.load()
            return ImageOps.exif_transpose(image)
    except Exception as error:
        raise InputError(
            f"{path} could be read when the folder was opened but not any more ({error})",
            "files that stay as they are",
            "Open the folder again",
        ) from error


@dataclass(frozen=True)
class Look:
    """What one decoding showed: a problem in words, or digest, size and mode."""

    problem: str = ""
    digest: str = ""
    size: tuple[int, int] = (0, 0)
    mode: str = ""


def look_at(path: Path) -> Look:
    """Decode once; whatever is wrong with the file becomes a sentence."""
    import io

    from PIL import Image, UnidentifiedImageError

    try:
        data = path.read_bytes()
    except OSError as error:
        return Look(f"unreadable ({error.strerror})")
    if not data:
        return Look("empty file (0 bytes)")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            limit = Image.MAX_IMAGE_PIXELS
            if limit is not None and image.width * image.height > limit:
                return Look(
                    f"{image.width} x {image.height} pixels, more than Pillow's safe limit of {limit}"
                )
            size, mode = image.size, image.mode
            image.draft(mode, (max(1, size[0] // 8), max(1, size[1] // 8)))
            image.load()
    except Image.DecompressionBombError as error:
        return Look(f"too many pixels for its safe limit ({error})")
    except UnidentifiedImageError:
        return Look("not an image that Pillow knows")
    except (
        Exception
    ) as error:  # decoders raise anything on broken data, struct.error and SyntaxError among them
        return Look(f"unreadable ({type(error).__name__}: {error})")
    return Look("", bytes_digest(data), size, mode)


def open_image_folder(
    root: Path,
    *,
    label: str | None = None,
    metadata=None,
    pattern: str | None = None,
    progress: Progress = no_progress,
) -> ImageFolder:
    """Look at every image and keep the readable ones, in natural order of their paths.

    Raises NotFound for a folder without images and InputError where none can be read.
    """
    listing = list_folder(root, SUFFIXES, label=label, metadata=metadata, pattern=pattern)
    looks = []
    with warnings.catch_warnings(), ThreadPoolExecutor(READERS) as pool:
        warnings.simplefilter("ignore")  # Pillow warns where this module skips and says so
        for look in pool.map(look_at, listing.paths):
            looks.append(look)
            if len(looks) % 256 == 0:
                progress(len(looks) / len(listing.paths), "reading images")
    keep = [i for i, look in enumerate(looks) if not look.problem]
    names = [p.relative_to(root).as_posix() for p in listing.paths]
    skipped = listing.skipped + [
        f"{names[i]}: {look.problem}" for i, look in enumerate(looks) if look.problem
    ]
    given = listing.labels(keep)
    kept = [looks[i] for i in keep]
    given["columns"] |= shape_columns(kept)
    return ImageFolder(
        "image", root.name, root, listing.ids(keep), skipped=skipped, notes=listing.notes + mixed(kept),
        paths=[listing.paths[i] for i in keep], digests=[look.digest for look in kept], **given,
    )  # fmt: skip


def shape_columns(looks: list[Look]) -> dict[str, np.ndarray]:
    """Width, height and mode per image, where they differ at all."""
    columns = {}
    if len({look.size for look in looks}) > 1:
        columns["width"] = np.array([look.size[0] for look in looks])
        columns["height"] = np.array([look.size[1] for look in looks])
    if len({look.mode for look in looks}) > 1:
        columns["mode"] = np.array([look.mode for look in looks])
    return columns


def mixed(looks: list[Look]) -> list[str]:
    """A note each for mixed sizes and modes."""
    sizes, modes = Counter(look.size for look in looks), Counter(look.mode for look in looks)
    notes = []
    if len(sizes) > 1:
        common = sizes.most_common(1)[0][0]
        notes.append(f"Images have {len(sizes)} sizes, most often {common[0]} x {common[1]}")
    if len(modes) > 1:
        notes.append("Images have several modes: " + ", ".join(f"{m} ({n})" for m, n in modes.most_common()))
    return notes
