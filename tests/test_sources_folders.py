"""Folders of images, texts and clips: classes, metadata, and what is skipped."""

import io

import numpy as np
import pytest
import soundfile
from PIL import Image

from analysis.errors import InputError, NotFound, ParameterError
from analysis.sources.clips import Clip
from analysis.sources.data import open_data
from analysis.sources.thumbnails import array_thumbnail


def write_image(path, seed=0, size=(8, 8), mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(values).convert(mode).save(path)


@pytest.fixture
def pictures(tmp_path):
    for k, name in enumerate(["cat/9.png", "cat/10.png", "dog/1.png", "dog/2.jpg"]):
        write_image(tmp_path / name, k)
    return tmp_path


def opened(png: bytes):
    return Image.open(io.BytesIO(png))


class TestImages:
    def test_classes_are_folders_in_natural_order(self, pictures):
        data = open_data(pictures)
        assert data.kind == "image"
        assert data.ids.tolist() == ["cat/9.png", "cat/10.png", "dog/1.png", "dog/2.jpg"]
        assert data.classes == ("cat", "dog")
        assert data.labels.tolist() == [0, 0, 1, 1]
        assert "4 images" in data.describe()
        assert "kind= changes that" in data.describe()
        assert data.media_path(2).endswith("dog/1.png")
        assert len(data.media_digest(2)) == 32
        assert [i.size for i in data.items(1, 3)] == [(8, 8), (8, 8)]

    def test_small_thumbnails_are_enlarged_with_hard_edges(self, pictures):
        item, thumbnail = open_data(pictures).items(0, 1)[0], open_data(pictures).thumbnails(0, 1)[0]
        assert opened(thumbnail).size == (96, 96)
        assert np.array_equal(np.asarray(opened(thumbnail))[::12, ::12], np.asarray(item))

    def test_large_thumbnails_are_reduced(self, tmp_path):
        write_image(tmp_path / "a.png", size=(400, 200), mode="RGB")
        assert opened(open_data(tmp_path).thumbnails(0, 1)[0]).size == (96, 48)

    def test_no_folders_no_classes(self, tmp_path):
        write_image(tmp_path / "a.png")
        data = open_data(tmp_path)
        assert (len(data), data.labels, data.classes) == (1, None, ())

    def test_nested_folders(self, tmp_path):
        write_image(tmp_path / "latin" / "a" / "1.png")
        write_image(tmp_path / "greek" / "a" / "1.png")
        assert open_data(tmp_path).classes == ("greek", "latin")
        data = open_data(tmp_path, label="parent")
        assert data.classes == ("a",)
        assert data.columns["folder"].tolist() == ["greek/a", "latin/a"]
        assert open_data(tmp_path, label="none").labels is None

    def test_mixed_sizes_and_modes_are_said(self, pictures):
        write_image(pictures / "dog" / "3.png", size=(20, 30), mode="RGB")
        data = open_data(pictures)
        assert any("2 sizes" in note for note in data.notes)
        assert any("L (4)" in note for note in data.notes)
        assert data.columns["width"].tolist() == [8, 8, 8, 8, 20]
        assert data.columns["mode"][-1] == "RGB"

    def test_the_digest_follows_pixels_and_labels(self, pictures):
        first = open_data(pictures).digest
        assert open_data(pictures).digest == first
        assert open_data(pictures, label="none").digest != first
        write_image(pictures / "cat" / "9.png", 99)
        assert open_data(pictures).digest != first

    def test_unreadable_images_are_skipped_and_listed(self, pictures):
        whole = (pictures / "cat" / "9.png").read_bytes()
        write_image(pictures / "big.jpg", size=(300, 300), mode="RGB")
        jpeg = (pictures / "big.jpg").read_bytes()
        (pictures / "big.jpg").unlink()
        for name, data in {
            "a.png": b"",
            "b.png": b"text",
            "c.png": whole[:-30],
            "d.jpg": jpeg[: len(jpeg) // 2],
        }.items():
            (pictures / "cat" / name).write_bytes(data)
        data = open_data(pictures)
        assert len(data) == 4
        assert [s.split(":")[0] for s in data.skipped] == ["cat/a.png", "cat/b.png", "cat/c.png", "cat/d.jpg"]
        assert "0 bytes" in data.skipped[0]
        assert "4 skipped" in data.describe()
        assert len(data.items(0, 4)) == 4

    def test_a_bomb_is_skipped(self, pictures, monkeypatch):
        write_image(pictures / "dog" / "bomb.png", size=(100, 100))
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
        data = open_data(pictures)
        assert len(data) == 4
        assert data.skipped == [
            "dog/bomb.png: too many pixels for its safe limit (" + data.skipped[0].split("(", 1)[1]
        ]
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 7000)  # Pillow itself only warns up to twice its limit
        assert "100 x 100 pixels" in open_data(pictures).skipped[0]

    def test_a_real_bomb_in_little_memory(self, pictures):
        """20,000 x 20,000 grey pixels in a file of about 50 kB: refused from its header."""
        import zlib

        def chunk(kind, body):
            return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

        size = (20000).to_bytes(4, "big")
        body = zlib.compress(bytes(1_000_000))
        png = (
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", size + size + b"\x08\x00\x00\x00\x00")
            + chunk(b"IDAT", body)
        )
        (pictures / "dog" / "bomb.png").write_bytes(png + chunk(b"IEND", b""))
        assert len(open_data(pictures)) == 4

    def test_nothing_readable(self, tmp_path):
        (tmp_path / "a.png").write_bytes(b"no")
        with pytest.raises(InputError, match=r"1 skipped, the first: a\.png"):
            open_data(tmp_path)

    def test_no_images(self, tmp_path):
        with pytest.raises(NotFound, match="it is empty"):
            open_data(tmp_path, kind="image")
        with pytest.raises(InputError, match="no images, clips or texts"):
            open_data(tmp_path)
        (tmp_path / "table.csv").write_text("a\n1\n")
        with pytest.raises(InputError, match=r"Give the file"):
            open_data(tmp_path)

    def test_an_image_that_vanishes(self, pictures):
        data = open_data(pictures)
        (pictures / "cat" / "9.png").unlink()
        with pytest.raises(InputError, match=r"9\.png could be read"):
            data.items(0, 1)

    def test_a_single_image(self, pictures):
        with pytest.raises(InputError, match="Give the folder"):
            open_data(pictures / "cat" / "9.png")


class TestMetadata:
    def test_a_csv_beside_the_images(self, pictures):
        rows = [
            "file_name,label,year",
            "cat/9.png,tabby,2001",
            "cat/10.png,black,2002",
            "dog/1.png,pug,",
            "x.png,pug,1",
        ]
        (pictures / "metadata.csv").write_text("\n".join(rows))
        data = open_data(pictures)
        assert data.classes == ("black", "pug", "tabby")
        assert data.labels.tolist() == [2, 0, 1, -1]  # the last has no row
        assert np.isnan(data.columns["year"][2:]).all()
        assert data.skipped == ["x.png: named in metadata.csv, but there is no such file"]
        assert any("1 files have no row" in note for note in data.notes)

    def test_another_label_column(self, pictures, tmp_path):
        (pictures / "about.csv").write_text("file,coat\n9.png,long\n10.png,short\n1.png,long\n2.jpg,long\n")
        data = open_data(pictures, metadata=pictures / "about.csv", label="coat")
        assert data.classes == ("long", "short")
        with pytest.raises(NotFound, match="no metadata with a column 'size'"):
            open_data(pictures, metadata=pictures / "about.csv", label="size")

    def test_duplicate_rows(self, pictures):
        (pictures / "metadata.csv").write_text("file_name,label\ncat/9.png,a\ncat/9.png,b\n")
        with pytest.raises(InputError, match=r"more than once \('cat/9.png'\)"):
            open_data(pictures)

    def test_no_file_column(self, pictures):
        (pictures / "metadata.csv").write_text("label\na\n")
        with pytest.raises(InputError, match="file_name"):
            open_data(pictures)


class TestTexts:
    def test_one_file_one_sample(self, tmp_path):
        for name, text in {"a.txt": "one\n", "sub/b.md": "two"}.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        data = open_data(tmp_path)
        assert data.kind == "text"
        assert data.items(0, 2) == ["one\n", "two"]
        assert data.classes == ("sub",)
        assert data.labels.tolist() == [-1, 0]
        assert data.media_path(1).endswith("b.md")

    def test_bad_encodings_are_skipped(self, tmp_path):
        (tmp_path / "a.txt").write_bytes("fine é".encode())
        (tmp_path / "b.txt").write_bytes("not é".encode("latin-1"))
        (tmp_path / "c.txt").write_bytes(b"")
        (tmp_path / "d.txt").write_text("wide é", encoding="utf-16")
        (tmp_path / "e.txt").write_text("marked", encoding="utf-8-sig")
        data = open_data(tmp_path)
        assert data.items(0, 3) == ["fine é", "wide é", "marked"]
        assert "b.txt is not utf-8 text (byte 0xe9" in data.skipped[0]
        assert data.skipped[1] == "c.txt: no text in it"
        (tmp_path / "b.txt").unlink()
        (tmp_path / "d.txt").unlink()
        assert "not é" not in open_data(tmp_path, encoding="latin-1").items(0, 2)

    def test_a_file_by_lines_or_paragraphs(self, tmp_path):
        path = tmp_path / "all.txt"
        path.write_text("one\ntwo\n\n  \nthree\nfour\n")
        lines = open_data(path)
        assert lines.items(0, 4) == ["one", "two", "three", "four"]
        assert lines.ids.tolist() == ["all.txt:1", "all.txt:2", "all.txt:5", "all.txt:6"]
        paragraphs = open_data(path, split="paragraph")
        assert paragraphs.items(0, 2) == ["one\ntwo", "three\nfour"]
        assert paragraphs.ids.tolist() == ["all.txt:1", "all.txt:5"]
        assert open_data(path, split="file").items(0, 1) == [path.read_text()]

    def test_a_single_file_that_is_not_text(self, tmp_path):
        (tmp_path / "a.txt").write_bytes("é".encode("latin-1"))
        with pytest.raises(InputError, match=r"encoding='latin-1'"):
            open_data(tmp_path / "a.txt")
        assert open_data(tmp_path / "a.txt", encoding="latin-1").items(0, 1) == ["é"]
        with pytest.raises(ParameterError, match="klingon"):
            open_data(tmp_path / "a.txt", encoding="klingon")
        (tmp_path / "a.txt").write_bytes(bytes(100))
        with pytest.raises(InputError, match="binary"):
            open_data(tmp_path / "a.txt")
        (tmp_path / "a.txt").write_bytes(b"")
        with pytest.raises(InputError, match="0 bytes"):
            open_data(tmp_path / "a.txt")
        (tmp_path / "a.txt").write_bytes(b"\n \n")
        with pytest.raises(InputError, match="no usable sample"):
            open_data(tmp_path / "a.txt")

    def test_a_pattern(self, tmp_path):
        (tmp_path / "a.txt").write_text("text")
        (tmp_path / "b.cfg").write_text("setting")
        assert open_data(tmp_path, kind="text", pattern="*.cfg").items(0, 1) == ["setting"]


class TestAudio:
    def wave(self, path, rate=8000, n=400, channels=1, seed=0):
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(seed).uniform(-0.5, 0.5, (n, channels))
        soundfile.write(path, values, rate)
        return values

    def test_mono_floats_of_one_rate(self, tmp_path):
        values = self.wave(tmp_path / "no" / "a.wav", channels=2)
        self.wave(tmp_path / "yes" / "b.wav")
        self.wave(tmp_path / "yes" / "c.wav", rate=16000, n=400)
        data = open_data(tmp_path)
        assert data.kind == "audio"
        assert data.classes == ("no", "yes")
        assert data.sampling_rate == 8000
        clips = data.items(0, 3)
        assert [len(c) for c in clips] == [400, 400, 200]
        assert [c.sampling_rate for c in clips] == [8000] * 3
        assert np.allclose(clips[0], values.mean(axis=1), atol=1e-4)
        assert any("1 clips resampled" in n for n in data.notes)
        assert data.columns["seconds"].tolist() == [0.05, 0.05, 0.025]
        assert opened(data.thumbnails(0, 1)[0]).size == (96, 48)

    def test_broken_clips_are_skipped(self, tmp_path):
        self.wave(tmp_path / "a.wav")
        (tmp_path / "b.wav").write_bytes(b"")
        (tmp_path / "c.wav").write_bytes(b"RIFFnot really")
        soundfile.write(tmp_path / "d.wav", np.zeros(0), 8000)
        data = open_data(tmp_path)
        assert len(data) == 1
        assert [s.split(":")[0] for s in data.skipped] == ["b.wav", "c.wav", "d.wav"]

    def test_one_file(self, tmp_path):
        self.wave(tmp_path / "a.wav")
        assert len(open_data(tmp_path / "a.wav", sampling_rate=4000).items(0, 1)[0]) == 200

    def test_resampling_keeps_a_tone(self):
        from analysis.sources.clips import resampled

        t = np.arange(8000) / 8000
        clip = resampled(Clip.of(np.sin(2 * np.pi * 440 * t), 8000), 16000)
        spectrum = np.abs(np.fft.rfft(np.asarray(clip)))
        assert np.fft.rfftfreq(len(clip), 1 / 16000)[spectrum.argmax()] == pytest.approx(440)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((8, 8), (96, 96)),
        ((3, 50, 60), (60, 50)),
        ((200, 100, 3), (48, 96)),
        ((2, 1024), None),
        ((7,), None),
        ((5, 8, 8), None),
    ],
)
def test_array_thumbnails(shape, size):
    png = array_thumbnail(np.random.default_rng(0).standard_normal(shape))
    assert (png and opened(png).size) == size


def test_array_thumbnails_with_nothing_finite():
    assert array_thumbnail(np.full((8, 8), np.nan)) is not None
    assert array_thumbnail(np.zeros((8, 8))) is not None


def test_options_that_do_nothing_are_refused(pictures):
    with pytest.raises(ParameterError, match=r"read as image, which takes no 'split'"):
        open_data(pictures, split="line")
    with pytest.raises(ParameterError, match="kind = 'movie'"):
        open_data(pictures, kind="movie")
    with pytest.raises(NotFound, match="there is no data"):
        open_data(pictures / "nowhere")
