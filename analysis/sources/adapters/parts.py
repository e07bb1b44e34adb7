"""What the tensors of an adapter are: low-rank pairs, bottlenecks, and tensors of the base that were trained whole.

    low rank      W' = W + scale B A,  A (r, in), B (out, r); scale = alpha / r, or alpha / √r (rank-stabilised)
                  of a magnitude m too (DoRA): W' = m (W + scale B A) / |W + scale B A|, row by row
    bottleneck    y + scale U σ(D y + d) + u behind a module that gives y
    whole         a bias, a norm, a head: takes the place of the base's tensor

Names: lora_A, lora_B, lora_embedding_A, lora_embedding_B, lora_magnitude_vector (PEFT), lora_down, lora_up, alpha;
<module>.<…adapter…>.down… and .up…; PEFT's beginnings base_model.model. and endings .default and modules_to_save are
taken off.

References: E. Hu et al. (2022), "LoRA"; N. Houlsby et al. (2019), "Parameter-efficient transfer learning for NLP";
S.-Y. Liu et al. (2024), "DoRA"; D. Kalajdzievski (2023), rank-stabilised LoRA.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from analysis.errors import InputError
from analysis.sources.adapters.description import AdapterDescription

PAIR = re.compile(r"^(?P<at>.+?)[._]lora_(?:embedding_)?(?P<side>A|B|down|up)(?:\.weight)?$")
MAGNITUDE = re.compile(r"^(?P<at>.+?)\.lora_magnitude_vector(?:\.weight)?$")
ALPHA = re.compile(r"^(?P<at>.+?)\.alpha$")
NECK = re.compile(
    r"^(?:(?P<at>.+)\.)?(?P<name>[^.]*adapter[^.]*)\.(?:[^.]*_)?(?P<side>down|up)[^.]*(?:\.\d+)?"
    r"\.(?P<part>weight|bias)$", re.I,
)  # fmt: skip
SIDES = {"A": 0, "down": 0, "B": 1, "up": 1}


@dataclass
class LowRank:
    """Of one module: `a` (r, in, …), `b` (out, r, …), `scale`, `magnitude` (out,) or None; of an `embedding` the table
    itself is changed, (rows, d)."""

    a: np.ndarray
    b: np.ndarray
    scale: float
    magnitude: np.ndarray | None = None
    embedding: bool = False

    def merged(self, weight: np.ndarray, turned: bool) -> np.ndarray:
        """What takes the place of `weight`, which is (in, out) where it is `turned`. Raises InputError."""
        r = len(self.a)
        delta = self.scale * (self.b.reshape(len(self.b), r) @ self.a.reshape(r, -1))
        own = weight.T if turned or self.embedding else weight
        if delta.size != own.size or len(delta) != len(own):
            raise InputError(f"a low-rank pair of {self.b.shape} and {self.a.shape} for a weight of {weight.shape}",
                             "the base that the adapter was trained on")  # fmt: skip
        made = own + delta.reshape(own.shape)
        if self.magnitude is not None:
            flat = made.reshape(len(made), -1)
            size = np.linalg.norm(flat, axis=1)
            made = (flat * (self.magnitude.ravel() / np.where(size > 0, size, 1.0))[:, None]).reshape(
                made.shape
            )
        return made.T if turned or self.embedding else made


@dataclass
class Bottleneck:
    """Behind the module `at`: `down` (r, d) and `up` (d, r) with their biases or None."""

    at: str
    name: str
    down: np.ndarray | None = None
    up: np.ndarray | None = None
    down_bias: np.ndarray | None = None
    up_bias: np.ndarray | None = None


@dataclass
class AdapterParts:
    """By module or tensor name, as the adapter's author had them. `numbers`: how many it holds."""

    low_rank: dict[str, LowRank] = field(default_factory=dict)
    bottlenecks: list[Bottleneck] = field(default_factory=list)
    whole: dict[str, np.ndarray] = field(default_factory=dict)
    numbers: int = 0


def looks_like_adapter(names) -> bool:
    """Whether any of the names is that of a low-rank pair or a bottleneck."""
    return any(PAIR.match(_plain(n)) or NECK.match(_plain(n)) for n in names)


def parts_of(state: dict[str, np.ndarray], told: AdapterDescription) -> AdapterParts:
    """Sort the tensors of an adapter, float64. Raises InputError for halves of a pair."""
    sides: dict[str, dict] = {}
    necks: dict[tuple[str, str], Bottleneck] = {}
    found = AdapterParts(numbers=int(sum(v.size for v in state.values())))
    for key, value in state.items():
        name = _plain(key)
        if m := PAIR.match(name):
            mine = sides.setdefault(m["at"], {})
            mine[SIDES[m["side"]]] = value
            mine["embedding"] = "lora_embedding" in name
        elif m := MAGNITUDE.match(name):
            sides.setdefault(m["at"], {})["magnitude"] = value
        elif (m := ALPHA.match(name)) and value.size == 1:
            sides.setdefault(m["at"], {})["alpha"] = float(value.ravel()[0])
        elif m := NECK.match(name):
            neck = necks.setdefault((m["at"] or "", m["name"]), Bottleneck(m["at"] or "", m["name"]))
            setattr(neck, m["side"].lower() + ("_bias" if m["part"] == "bias" else ""), value)
        else:
            found.whole[name] = value
    for at, mine in sides.items():
        if 0 not in mine or 1 not in mine:
            raise InputError(f"'{at}' has half of a low-rank pair", "lora_A and lora_B of each module")
        found.low_rank[at] = LowRank(
            mine[0], mine[1], _scale(at, mine, told), mine.get("magnitude"), mine["embedding"]
        )
    for neck in necks.values():
        if neck.down is None or neck.up is None:
            raise InputError(
                f"'{neck.at}.{neck.name}' has half of a bottleneck", "a weight down and a weight up"
            )
        places = (neck.at,) if neck.at else told.at
        if not places:
            raise InputError(f"the bottleneck '{neck.name}' names no module that it stands behind", "names of modules",
                             "Give them in adapter.json as \"at\": [\"…\"]")  # fmt: skip
        found.bottlenecks += [Bottleneck(**{**vars(neck), "at": place}) for place in places]
    return found


def _plain(key: str) -> str:
    """A name without what PEFT puts around it."""
    key = (
        key.removeprefix("base_model.model.")
        .replace(".modules_to_save.default", "")
        .replace(".modules_to_save", "")
    )
    key = key.replace(".original_module", "").replace(".base_layer", "")
    return re.sub(r"(lora_\w+)\.default\b", r"\1", key)


def _scale(at: str, mine: dict, told: AdapterDescription) -> float:
    rank = len(mine[0])
    alpha = next((v for end, v in told.alphas.items() if at == end or at.endswith("." + end)), told.alpha)
    alpha = mine.get("alpha", alpha)
    return 1.0 if alpha is None else alpha / (np.sqrt(rank) if told.rooted else rank)
