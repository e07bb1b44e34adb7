"""A feature on a text or picture of one's own: what it gives is what the store holds of the same input."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from app_pages import is_whole, open_page, texts
from dictionary_subjects import atoms, encoded, planted_codes, set_of
from hugging_face_subjects import image_model, picture, text_model

from analysis.errors import InputError, NotFound
from analysis.jobs import handlers
from analysis.recording.live import MOST_PICTURE, MOST_TEXT, input_kind, try_input
from analysis.recording.recorder import record
from analysis.sources.checkpoint import open_checkpoint
from analysis.sources.data import open_data
from analysis.spec import no_progress
from analysis.workspace import Workspace

TEXT = "a b c d"


def recorded(folder, workspace, name, data, kind, tokens):
    """The first block of a tiny network on `data`, encoded with random atoms of its width."""
    checkpoint = open_checkpoint(folder)
    from analysis.recording.taps import dry_run

    source = open_data(data, kind=kind)
    block = next(t.name for t in dry_run(checkpoint.load(), source) if t.name.rpartition(".")[2] == "0")
    store = record(checkpoint, source, workspace.path / "stores" / name, name=name, taps=(block,), tokens=tokens,
                   dtype="float32")  # fmt: skip
    d = store.taps[block].n_units
    workspace.features.add(set_of(f"set {name}", atoms(3 * d, d, seed=4), active=4))
    return workspace.encode(f"{name}:{block}", f"set {name}")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("live")
    workspace = Workspace.create(folder / "ws")
    (folder / "texts").mkdir()
    for i, text in enumerate((TEXT, "c a", "d d b")):
        (folder / "texts" / f"{i}.txt").write_text(text)
    (folder / "pictures").mkdir()
    for i in range(3):
        picture(i, 16, 16, 3).save(folder / "pictures" / f"{i}.png")
    for name, build in (("gpt", text_model), ("vit", image_model)):
        (folder / name).mkdir()
        build(folder / name)
    taps = {
        "gpt": recorded(folder / "gpt", workspace, "gpt", folder / "texts", "text", "all"),
        "vit": recorded(folder / "vit", workspace, "vit", folder / "pictures", "image", "all"),
    }
    return workspace, taps, folder


def stored(workspace, reference, sample=0):
    tap = workspace.activations(reference)
    start, stop = tap.layout.offsets[sample : sample + 2]
    return tap.take(np.arange(start, stop))


def test_a_text_gives_what_was_recorded_of_it(made):
    workspace, taps, _ = made
    store, _, tap = taps["gpt"].partition(":")
    codes = stored(workspace, taps["gpt"])
    j = int(codes.sum(axis=0).argmax())
    found = try_input(workspace.store(store), tap, j, text=TEXT)
    assert found.values == pytest.approx(codes[:, j], abs=1e-4)
    assert list(found.tokens) == workspace.store(store).tokens(0)
    assert found.others[0][0] == j
    assert found.others[0][1] == pytest.approx(codes[:, j].sum(), abs=1e-3)


def test_a_picture_gives_what_was_recorded_of_it_through_the_job(made, monkeypatch):
    workspace, taps, folder = made
    data = base64.b64encode((folder / "pictures" / "0.png").read_bytes()).decode()
    codes = stored(workspace, taps["vit"])
    j = int(codes.max(axis=0).argmax())
    found = handlers.try_input(
        workspace.path, {"input": taps["vit"], "feature": j, "picture": data}, no_progress
    )
    assert found["values"] == pytest.approx(codes[:, j], abs=1e-4)
    assert (found["input"], found["feature"], found["tokens"]) == (taps["vit"], j, None)
    monkeypatch.setenv("LOUPE_WORKSPACE", str(workspace.path))
    at = open_page("features", tap=taps["gpt"], unit=str(int(stored(workspace, taps["gpt"]).sum(axis=0).argmax())),
                   own="true")  # fmt: skip
    assert is_whole(at), texts(at)
    assert "reads your text" in texts(at)


def test_a_photograph_is_taken_too(made):
    workspace, taps, _ = made
    store, _, tap = taps["vit"].partition(":")
    file = io.BytesIO()
    picture(5, 40, 30, 3).save(file, "JPEG")
    assert np.isfinite(try_input(workspace.store(store), tap, 0, picture=file.getvalue()).values).all()


def test_what_cannot_be_tried_is_refused(made, tmp_path):
    workspace, taps, _ = made
    (gpt, _, text_tap), (vit, _, image_tap) = (taps[k].partition(":") for k in ("gpt", "vit"))
    gpt, vit = workspace.store(gpt), workspace.store(vit)
    for given, said in (("  ", "empty text"), ("x" * (MOST_TEXT + 1), "characters")):
        with pytest.raises(InputError, match=said):
            try_input(gpt, text_tap, 0, text=given)
    for given, said in ((b"", "no picture"), (b"x" * (MOST_PICTURE + 1), "bytes")):
        with pytest.raises(InputError, match=said):
            try_input(vit, image_tap, 0, picture=given)
    with pytest.raises(NotFound, match="no feature 999"):
        try_input(gpt, text_tap, 999, text=TEXT)
    with pytest.raises(InputError, match="was recorded"):
        input_kind(gpt, next(iter(gpt.recorded)))
    with pytest.raises(InputError, match="base64"):
        handlers.try_input(
            workspace.path, {"input": taps["vit"], "feature": 0, "picture": "%%%"}, no_progress
        )
    bare = encoded(tmp_path / "s", planted_codes(20) @ atoms(), [set_of("a", atoms())])
    with pytest.raises(InputError, match="no checkpoint"):
        input_kind(bare, "mlp@a")
