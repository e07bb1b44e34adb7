"""dictionary_learning: a folder with config.json and ae.pt (encoder.weight (k, d), decoder.weight (d, k), …)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from analysis.features.importing.declared import Declared, from_modules


def fits(tensors: dict, config: Mapping) -> bool:
    return "trainer" in config or ("encoder.weight" in tensors and "decoder.weight" in tensors)


def read(tensors: dict, config: Mapping) -> Declared:
    trainer = config.get("trainer") or {}
    found = from_modules(tensors)
    architecture = str(trainer.get("dict_class") or trainer.get("trainer_class") or "").removesuffix(
        "Trainer"
    )
    if not architecture:
        architecture = "GatedAutoEncoder" if "gate" in found else "TopK" if "k" in tensors else "AutoEncoder"
    key = architecture.lower().replace("_", "")
    jump = "jumprelu" in key
    if (
        key in ("batchtopk", "batchtopksae", "matryoshkabatchtopksae", "matryoshkabatchtopk")
        and "threshold" in found
    ):
        found["threshold"] = np.full(found["W_dec"].shape[0], float(np.ravel(found["threshold"])[0]))
    if "topk" in key and not key.startswith(("batch", "matryoshka")):
        found.pop("threshold", None)
    k = trainer.get("k") or (int(np.ravel(tensors["k"])[0]) if "k" in tensors else None)
    groups = tensors.get("group_sizes")
    levels = () if groups is None else tuple(int(v) for v in np.cumsum(np.ravel(groups)))
    about = {"format": "dictionary_learning", "hook": trainer.get("submodule_name", "")}
    return Declared(
        found, architecture, k, not jump, jump or "gated" in key or key == "autoencodernew", False, 1.0, "", levels,
        about,
    )  # fmt: skip
