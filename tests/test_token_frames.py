"""Heat over the tokens of pictures lies on the pictures: frames of a clip, samples of a pooling."""

import io

import numpy as np
import pytest

from analysis.activations import ArrayActivations
from analysis.methods.tokens.memory_read import memory_read
from analysis.methods.tokens.pooled_weights import PooledWeightsParams, pooled_weights
from analysis.methods.tokens.prompt_volume import PromptVolumeParams, prompt_volume
from analysis.sources.stored_pictures import BELOW, pictures_below
from analysis.store.from_arrays import write_store
from analysis.store.manifest import TapSpec
from dashboard.figures import token_map
from dashboard.figures.style import LIGHT

CLIPS, FRAMES, GRID, UNITS = 2, 5, (3, 4), 6


def png(shade: int, size=(40, 30)) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.full(size[::-1], shade, np.uint8)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def stored(tmp_path, rng):
    def made(size=(40, 30), **more):
        n = CLIPS * FRAMES
        spec = TapSpec("t", UNITS, "float32", "all", "Conv2d", GRID, 0)
        x = rng.standard_normal((n, GRID[0] * GRID[1], UNITS)).astype(np.float32)
        columns = {"clip": np.repeat(["a", "b"], FRAMES), "frame": np.tile(np.arange(FRAMES), CLIPS)}
        pictures = [png(20 * i, size if i else more.get("first", size)) for i in range(n)]
        store = write_store(tmp_path / "s", name="s", taps={"t": x}, specs={"t": spec}, samples=columns,
                            thumbnails=pictures)  # fmt: skip
        return store.activations("t")

    return made


def test_each_frame_lies_below_its_own_heat(stored):
    found = memory_read(stored())  # the last frame of the clip reads those before it
    assert found.pictures.shape[0] == len(found.values) == FRAMES - 1
    np.testing.assert_array_equal(found.pictures[:, 0, 0, 0], 20 * np.arange(FRAMES - 1))
    assert BELOW in found.caveats
    figure = token_map.screen(found, LIGHT)
    assert sum(t.type == "image" for t in figure.data) == FRAMES - 1
    high, wide = found.pictures.shape[1:3]
    assert high / wide == pytest.approx(
        GRID[0] / GRID[1], rel=0.04
    )  # no margins: cells lie on what they look at


def test_what_a_prompt_keeps_lies_on_the_frames(stored, rng):
    tap = stored()
    found = prompt_volume(
        tap, ArrayActivations(rng.standard_normal((3, UNITS))), PromptVolumeParams(sample=6)
    )
    np.testing.assert_array_equal(found.pictures[:, 0, 0, 0], 20 * np.arange(FRAMES, 2 * FRAMES))


def test_tokens_that_carry_a_pooled_value_lie_on_their_samples(stored):
    found = pooled_weights(stored(), PooledWeightsParams(maximum_samples=4))
    np.testing.assert_array_equal(found.pictures[:, 0, 0, 0], 20 * found.samples)


def test_a_picture_of_another_shape_than_the_grid_is_not_drawn(stored, tmp_path):
    assert pictures_below(stored(size=(30, 30)), np.arange(3), GRID) is None


def test_pictures_of_several_shapes_are_not_drawn(stored):
    tap = stored(first=(30, 30))
    assert pictures_below(tap, np.arange(3), GRID) is None
    assert pictures_below(tap, np.arange(1, 3), GRID).shape[0] == 2
    assert memory_read(tap).pictures is None
    assert pictures_below(ArrayActivations(np.zeros((4, 2))), np.arange(2), GRID) is None


def test_the_words_of_texts_are_written_under_their_shares(tmp_path, rng):
    tokens = [[f"word{i}.{t}" for t in range(4 + i % 3)] for i in range(9)]
    x = [rng.standard_normal((len(w), UNITS)).astype(np.float32) for w in tokens]
    store = write_store(tmp_path / "w", name="w", taps={"t": x}, tokens=tokens)
    found = pooled_weights(store.activations("t"))
    assert [list(w) for w in found.words] == [tokens[i] for i in found.samples]
    assert len(found.values) == len(found.words)


def test_many_pictured_panels_are_small_ones_and_none_is_left_out(rng):
    from analysis.results import TokenMap

    found = TokenMap(title="t", samples=np.arange(40), values=rng.random((40, 12)), value_name="v", grid=GRID,
                     names=tuple(f"frame {i}" for i in range(40)),
                     pictures=np.zeros((40, 30, 40), np.uint8))  # fmt: skip
    assert not any("first" in n for n in token_map.notes(found))
    assert sum(t.type == "heatmap" for t in token_map.screen(found, LIGHT).data) == 40
