"""A file that would run code when opened is refused, and the code does not run."""

import io
import pickle  # to write what must never be read
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from payload import Payload

from analysis.errors import InputError, LoupeError, UnsafeFile
from analysis.sources.checkpoint import open_checkpoint
from analysis.sources.data import open_data
from analysis.sources.dumps import open_dump


def test_the_payload_works(tmp_path):
    """The proof is worth something: plain unpickling does create the file."""
    pickle.loads(pickle.dumps(Payload(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin"])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_torch_files(tmp_path, proof, suffix, zipped):
    path = tmp_path / f"model{suffix}"
    state = {"weight": torch.ones(2), "hook": Payload(proof)}
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UnsafeFile, match="could run code"):
        open_checkpoint(path)


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
def test_raw_pickles(tmp_path, proof, suffix, protocol):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(pickle.dumps(Payload(proof), protocol))
    with pytest.raises(InputError) as refusal:  # protocol 0 is plain text and merely "not safetensors"
        open_checkpoint(path)
    if protocol or suffix != ".safetensors":
        assert isinstance(refusal.value, UnsafeFile)


def test_a_whole_pickled_module(tmp_path):
    path = tmp_path / "model.pt"
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(UnsafeFile, match=r"Linear.*state_dict"):
        open_checkpoint(path)


def test_a_torchscript_archive(tmp_path):
    path = tmp_path / "model.pt"
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
    with pytest.raises(UnsafeFile, match="TorchScript"):
        open_checkpoint(path)


def test_the_old_tar_format(tmp_path, proof):
    path = tmp_path / "model.pth"
    data = pickle.dumps(Payload(proof))
    with tarfile.open(path, "w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    with pytest.raises(UnsafeFile):
        open_checkpoint(path)


def test_torch_zip_holding_a_pickle_by_hand(tmp_path, proof):
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps(Payload(proof), 2))
        archive.writestr("model/version", "3\n")
    with pytest.raises(LoupeError):
        open_checkpoint(path)


@pytest.mark.parametrize("opener", [open_data, open_dump])
def test_object_arrays(tmp_path, proof, opener):
    objects = np.array([Payload(proof), 1], dtype=object).reshape(2, 1)
    np.save(tmp_path / "x.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "x.npz", objects)
    for name in ("x.npy", "x.npz"):
        with pytest.raises(UnsafeFile, match="object array"):
            opener(tmp_path / name)


@pytest.mark.parametrize("opener", [open_data, open_dump])
@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.safetensors"])
def test_pickles_named_as_arrays(tmp_path, proof, opener, name):
    (tmp_path / name).write_bytes(pickle.dumps(Payload(proof)))
    with pytest.raises(UnsafeFile):
        opener(tmp_path / name)


@pytest.mark.parametrize("opener", [open_data, open_dump])
def test_a_pickle_inside_an_npz(tmp_path, proof, opener):
    path = tmp_path / "x.npz"
    np.savez(path, a=np.ones((3, 2)))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("b.npy", pickle.dumps(Payload(proof)))
    with pytest.raises(UnsafeFile, match=r"b\.npy"):
        opener(path)


def test_label_files_are_held_to_the_same(tmp_path, proof):
    np.save(tmp_path / "x.npy", np.ones((2, 3)))
    np.save(tmp_path / "y.npy", np.array([Payload(proof), 1], dtype=object), allow_pickle=True)
    for opener in (open_data, open_dump):
        with pytest.raises(UnsafeFile):
            opener(tmp_path / "x.npy", labels=tmp_path / "y.npy")


def test_a_factory_needs_permission(tmp_path):
    path = tmp_path / "model.pt"
    torch.save(torch.nn.Linear(2, 2).state_dict(), path)
    with pytest.raises(UnsafeFile, match="may not run code"):
        open_checkpoint(path, model="torch.nn:Identity", allow_code=False)
    assert open_checkpoint(path, allow_code=False).n_parameters == 6
