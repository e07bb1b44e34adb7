"""Pictures from anybody: the formats that are decoded, and how large one may say that it is before it is.

Pillow knows what a picture is by its first bytes, whatever the file is called, and some of what it knows is not decoded
but run (PostScript). Of a picture with many frames the first is decoded and no other is looked for. Text in it is
bounded by Pillow itself.
"""

from __future__ import annotations

import io

from analysis.errors import InputError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
UPLOADED = ("PNG", "JPEG")
MOST_PIXELS = 1 << 24  # of a thumbnail and of a picture that somebody uploads: 4,096 x 4,096, 50 MB decoded


def refuse_large(data: bytes, formats: tuple[str, ...] = UPLOADED, most: int = MOST_PIXELS) -> None:
    """Look at the header of the picture in these bytes. Raises InputError for more pixels than `most`, and for what is
    no picture of these formats, whatever it is called."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=formats) as image:
            width, height = image.size
    except Image.DecompressionBombError:
        width = height = 1 << 16
    except Exception as error:  # decoders raise anything on broken data
        raise InputError(f"no picture that can be read ({type(error).__name__})",
                         f"a {' or '.join(formats)} file", "Save it as one") from None  # fmt: skip
    if width * height > most:
        raise InputError(f"a picture of {width:,} x {height:,} pixels or more", f"at most {most:,} pixels",
                         "Make it smaller first")  # fmt: skip


def thumbnail(png: bytes):
    """The small picture of a sample as an RGB PIL.Image.Image. Raises InputError for what is none."""
    from PIL import Image

    refuse_large(png, ("PNG",))
    try:
        with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
            return image.convert("RGB")
    except Exception as error:
        raise InputError(f"a small picture of the store cannot be read ({type(error).__name__})", "a PNG picture",
                         "Restore the store from a copy") from None  # fmt: skip
