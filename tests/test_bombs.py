"""Small files that say, or become, more than fits into memory: each is refused by what it says, undecoded."""

from __future__ import annotations

import bz2
import gzip
import io
import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import GifImagePlugin, Image, ImageFile

from analysis import results, selection
from analysis.errors import InputError, LoupeError, StoreDamaged, TooLarge
from analysis.sources import inflated
from analysis.sources.data import open_data
from analysis.sources.image_folder import look_at
from analysis.sources.pictures import MOST_PIXELS, refuse_large, thumbnail

HUGE = 60_000  # pixels each way: 3.6 thousand million


def chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def png(width: int, height: int, *more: bytes) -> bytes:
    """Black, as far as the data go; `more` chunks before them."""
    size = struct.pack(">II", width, height)
    parts = [
        chunk(b"IHDR", size + b"\x08\x00\x00\x00\x00"),
        *more,
        chunk(b"IDAT", zlib.compress(bytes(10_000))),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join([*parts, chunk(b"IEND", b"")])


def written(kind: str, **options) -> bytearray:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(out, kind, **options)
    return bytearray(out.getvalue())


def jpeg() -> bytes:
    data = written("JPEG")
    at = data.index(b"\xff\xc0") + 5  # height and width of the frame
    data[at : at + 4] = struct.pack(">HH", HUGE, HUGE)
    return bytes(data)


def gif() -> bytes:
    data = written("GIF")
    data[6:10] = struct.pack("<HH", HUGE, HUGE)
    return bytes(data)


def tiff() -> bytes:
    data = written("TIFF")
    first = struct.unpack("<I", data[4:8])[0]
    for at in range(first + 2, first + 2 + 12 * struct.unpack("<H", data[first : first + 2])[0], 12):
        if struct.unpack("<H", data[at : at + 2])[0] in (256, 257):
            data[at + 2 : at + 12] = struct.pack("<HII", 4, 1, HUGE)
    return bytes(data)


def webp() -> bytes:
    """Of the extended format, whose canvas may have 16,384 pixels each way."""
    inner = bytes(written("WEBP"))[12:]
    head = b"VP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + 2 * struct.pack("<I", 16_383)[:3]
    body = b"WEBP" + head + inner
    return b"RIFF" + struct.pack("<I", len(body)) + body


def bmp() -> bytes:
    data = written("BMP")
    data[18:26] = struct.pack("<ii", HUGE, HUGE)
    return bytes(data)


BOMBS = {
    "png": lambda: png(HUGE, HUGE), "jpg": jpeg, "gif": gif, "tif": tiff, "webp": webp, "bmp": bmp,
    "ppm": lambda: b"P6 %d %d 255\n" % (HUGE, HUGE) + bytes(100),
}  # fmt: skip


@pytest.mark.parametrize("kind", BOMBS)
def test_a_picture_that_says_it_is_huge_is_left_out_and_named(tmp_path, kind, monkeypatch):
    data = BOMBS[kind]()
    monkeypatch.setattr(ImageFile.ImageFile, "load", _never)  # whoever decodes it has lost
    (tmp_path / f"bomb.{kind}").write_bytes(data)
    assert (tmp_path / f"bomb.{kind}").stat().st_size < 20_000
    said = look_at(tmp_path / f"bomb.{kind}").problem
    assert "pixels" in said or "unreadable" in said, said
    assert "decoded" not in said
    with pytest.raises(InputError):
        refuse_large(data, ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "PPM"))


def _never(*_, **__):
    raise AssertionError("decoded")


def test_the_same_pictures_at_their_own_size_are_read(tmp_path):
    """So that what is refused above is refused for what it says."""
    for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "PPM"):
        (tmp_path / f"good.{kind.lower()}").write_bytes(written(kind))
    assert len(open_data(tmp_path, kind="image")) == 7


def test_one_frame_of_ten_thousand_is_decoded(tmp_path, monkeypatch):
    frame = bytes(written("GIF"))
    body = frame[frame.index(b",") : -1]  # one picture of the file, again and again
    (tmp_path / "many.gif").write_bytes(frame[:-1] + 10_000 * body + b";")
    sought = []
    seek = GifImagePlugin.GifImageFile._seek
    monkeypatch.setattr(
        GifImagePlugin.GifImageFile,
        "_seek",
        lambda self, n, *a, **k: sought.append(n) or seek(self, n, *a, **k),
    )
    assert not look_at(tmp_path / "many.gif").problem
    assert len(open_data(tmp_path, kind="image")) == 1
    assert sought
    assert max(sought) == 0


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_text_that_inflates_inside_a_png(tmp_path, kind):
    bomb = zlib.compress(bytes(200_000_000), 9)
    body = {b"zTXt": b"a\0\0", b"iTXt": b"a\0\1\0\0\0", b"iCCP": b"a\0\0"}[kind] + bomb
    (tmp_path / "text.png").write_bytes(png(10, 10, chunk(kind, body)))
    with Image.open(io.BytesIO(png(10, 10))) as plain:
        assert plain.size == (10, 10)
    found = look_at(tmp_path / "text.png")
    assert "too large" in found.problem or kind == b"iCCP"  # of which Pillow keeps nothing
    thumb = _of(lambda: thumbnail((tmp_path / "text.png").read_bytes()))
    assert thumb is None or sum(len(str(v)) for v in thumb.info.values()) < 1_000_000


def _of(make):
    try:
        return make()
    except LoupeError:
        return None


def test_what_is_run_and_not_decoded_is_no_picture(tmp_path, monkeypatch):
    """PostScript under a picture's name would be given to Ghostscript."""
    from PIL import EpsImagePlugin

    run = []
    monkeypatch.setattr(
        EpsImagePlugin, "Ghostscript", lambda *a, **k: run.append(a) or Image.core.new("RGB", (10, 10))
    )
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n(x) run\n%%EOF\n"
    with Image.open(io.BytesIO(eps)) as image:
        image.load()
    assert run, "the payload works"
    run.clear()
    (tmp_path / "a.png").write_bytes(eps)
    assert "not an image" in look_at(tmp_path / "a.png").problem
    for refuse in (thumbnail, refuse_large):
        with pytest.raises(InputError):
            refuse(eps)
    assert not run


NONE = [(data, "no picture") for data in (jpeg(), b"", b"GIF89a")]


@pytest.mark.parametrize(
    ("data", "said"), [(png(18_000, 18_000), "pixels"), (png(HUGE, HUGE), "pixels"), *NONE]
)
def test_a_small_picture_of_a_store_that_is_none(data, said, monkeypatch):
    """18,000 pixels each way is below the limit at which Pillow refuses, and is 1 GB."""
    monkeypatch.setattr(ImageFile.ImageFile, "load", _never)
    with pytest.raises(InputError, match=said):
        thumbnail(data)


def test_an_uploaded_picture_is_refused_by_its_header():
    from analysis.recording.live import _checked

    side = int(MOST_PIXELS**0.5) + 1
    for data in (png(side, side), jpeg(), gif(), b"<svg xmlns='http://www.w3.org/2000/svg'/>"):
        with pytest.raises(InputError):
            _checked("image", "", data)
    assert _checked("image", "", bytes(written("PNG")))
    assert _checked("image", "", bytes(written("JPEG")))


# ---------------------------------------------------------------------------- arrays, weights and tables
def npz(path, **arrays):
    np.savez_compressed(path, **arrays)
    return path


def test_arrays_that_inflate(tmp_path, monkeypatch):
    from analysis.features.classical.concepts import _npz
    from analysis.features.weights import read_tensors as load
    from analysis.sources.numpy_files import read_array

    path = npz(tmp_path / "a.npz", directions=np.zeros((1000, 1000)), names=np.array(["a"]))
    assert path.stat().st_size < 20_000
    assert load(path)
    monkeypatch.setattr(inflated, "LARGEST", 1_000_000)
    monkeypatch.setattr("analysis.sources.numpy_files.LARGEST_IN_MEMORY", 1_000_000)
    for read in (load, _npz, lambda p: read_array(p, "directions")):
        with pytest.raises(TooLarge):
            read(path)


def test_an_archive_that_says_less_than_it_holds_gives_no_more_than_it_says(tmp_path):
    path = npz(tmp_path / "a.npz", x=np.zeros(1_000_000))
    data = bytearray(path.read_bytes())
    for signature, at in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        place = data.index(signature) + at
        data[place : place + 4] = struct.pack("<I", 1000)
    path.write_bytes(data)
    with zipfile.ZipFile(path) as archive:
        assert archive.infolist()[0].file_size == 1000
    from analysis.features.weights import read_tensors as load

    with pytest.raises(LoupeError):
        load(path)


def test_a_result_that_inflates(tmp_path, monkeypatch):
    path = npz(tmp_path / "r.npz", __header__=np.zeros(3, np.uint8), x=np.zeros(1_000_000))
    monkeypatch.setattr(results, "LARGEST", 1_000_000)
    with pytest.raises(StoreDamaged, match="would become more than"):
        results.load(path)


def test_a_selection_that_inflates(monkeypatch):
    packed = zlib.compress(bytes(4_000_000))
    assert len(packed) < 10_000
    assert len(selection.ids_from_bytes("rows", packed)) == 500_000
    monkeypatch.setattr(selection, "LARGEST", 1_000_000)
    for hostile in (packed, packed[:-8], zlib.compress(bytes(8))[:-5]):
        with pytest.raises(StoreDamaged):
            selection.ids_from_bytes("rows", hostile)


def test_weights_that_inflate(tmp_path):
    """torch writes without compression, and reads what was compressed all the same."""
    torch = pytest.importorskip("torch")
    from analysis.sources.torch_files import load_weights

    torch.save({"w": torch.zeros(30_000_000)}, tmp_path / "plain.pt")
    with zipfile.ZipFile(tmp_path / "plain.pt") as plain, zipfile.ZipFile(tmp_path / "bomb.pt", "w") as bomb:
        for entry in plain.infolist():
            bomb.writestr(entry.filename, plain.read(entry), zipfile.ZIP_DEFLATED)
    assert (tmp_path / "bomb.pt").stat().st_size < 200_000
    assert torch.load(tmp_path / "bomb.pt", weights_only=True)["w"].numel() == 30_000_000, "the payload works"
    with pytest.raises(TooLarge, match="would become"):
        load_weights(tmp_path / "bomb.pt")
    assert load_weights(tmp_path / "plain.pt")["w"].numel() == 30_000_000


def test_weights_of_one_number_that_is_repeated(tmp_path):
    torch = pytest.importorskip("torch")
    from analysis.sources.torch_files import load_weights

    torch.save({"a": [{"w": torch.zeros(1).expand(1 << 40)}]}, tmp_path / "one.pt")
    assert (tmp_path / "one.pt").stat().st_size < 5000
    with pytest.raises(TooLarge, match="4,398,046,511,104 bytes"):
        load_weights(tmp_path / "one.pt")
    torch.save({"mask": torch.ones(1).expand(64, 64)}, tmp_path / "mask.pt")
    assert load_weights(tmp_path / "mask.pt")["mask"].shape == (64, 64)


def test_weights_whose_header_promises_more_than_there_is(tmp_path):
    from analysis.sources.safetensors_file import headers

    for header in (b'{"w":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}', b"[" * 100_000,
                   b'{"w":{"dtype":"F32","shape":[4294967296,4294967296,16],"data_offsets":[0,4]}}'):  # fmt: skip
        (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
        with pytest.raises(InputError):
            headers(tmp_path / "w.safetensors")
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
    with pytest.raises(InputError):
        headers(tmp_path / "w.safetensors")


def test_tables_of_one_value(tmp_path, monkeypatch):
    import pyarrow as pa
    from pyarrow import parquet

    from analysis.sources.table_reading import read_table

    path = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"a": pa.array(np.zeros(3_000_000))}), path, compression="zstd")
    assert path.stat().st_size < 100_000
    assert read_table(path).num_rows == 3_000_000
    monkeypatch.setattr(inflated, "LARGEST", 1_000_000)
    with pytest.raises(TooLarge, match="3,000,000 rows"):
        read_table(path)


@pytest.mark.parametrize("name", ["t.csv.gz", "t.csv.bz2", "t.csv"])
@pytest.mark.parametrize("sniffed", [None, 3])
def test_a_compressed_table_is_not_inflated(tmp_path, name, sniffed, monkeypatch):
    """pyarrow would, by the ending of the name. Also where the first bytes do not give it away."""
    from pyarrow import csv

    from analysis.sources import table_reading

    path, pack = tmp_path / name, bz2.compress if name.endswith("bz2") else gzip.compress
    path.write_bytes(pack(b"a,b\n" + b"1,2\n" * 500_000))
    assert path.stat().st_size < 20_000
    if name != "t.csv":
        assert csv.read_csv(path).num_rows == 500_000, "the payload works"
    if sniffed:
        monkeypatch.setattr(table_reading, "SNIFFED", sniffed)
    found = _of(lambda: table_reading.read_table(path, encoding="latin-1"))
    assert found is None or found.num_rows < 1000
