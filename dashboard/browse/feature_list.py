"""The list of all units of a tap: statistics, kinds (dead, dense, selective, starred), search and order."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from analysis.results import Table
from dashboard.browse import certificates
from dashboard.browse.class_shares import best_by_chance
from dashboard.browse.labels import Labels

DENSE = 0.9
STRONGEST = 64
KINDS = ("dead", "dense", "selective", "starred")
STATISTICS = {
    "top_class_share": "Share of one class",
    "fraction_positive": "Above 0",
    "mean": "Mean",
    "sd": "Spread (sd)",
    "q99": "99 % quantile",
    "maximum": "Maximum",
    "kurtosis": "Excess kurtosis",
}
HELP = {
    "fits": "How well the automatic name tells, on held-out samples, where the feature is active: their F1, from "
    "0 to 1. Empty where no name beats chance.",
    "fraction_positive": "Share of the rows (samples or tokens) on which the unit is above 0.",
    "q99": "The value that 1 % of the rows exceed, within a relative error of 1/16.",
    "kurtosis": "0 for a Gaussian; large where a few rows stand far out.",
    "top_class_share": "Share of the commonest class among the 64 strongest rows. Chance is not 1 / classes: the "
    "commonest of several always looks large; see “Selective” for what shuffled labels give.",
}
SHARES = ("fraction_positive", "top_class_share")  # shown in percent
FITS = "Fit of the name (F1)"
ORDERS = ("unit", *STATISTICS, "fits", "certificate", *certificates.COLUMNS)


@dataclass(frozen=True)
class Tap:
    """What the list needs to know of a tap. `table` as from FeatureIndex.table(); `samples_at_top` counts how many
    independent samples the 64 strongest rows are taken for (16 at a tap with tokens: several are of one sample)."""

    table: dict
    classes: tuple[str, ...] = ()
    unit_names: tuple[str, ...] = ()
    stars: tuple[int, ...] = ()
    tags: dict[int, tuple[str, ...]] = field(default_factory=dict)  # by unit
    labels: Labels | None = None
    samples_at_top: int = STRONGEST
    word: str = "unit"  # or "feature", of an encoded tap
    certificate: Table | None = None
    fits: np.ndarray | None = None  # F1 of the names, NaN where there is none

    @cached_property
    def threshold(self) -> float:
        """Share of one class that shuffled labels reach in 1 of 1,000 units."""
        sizes = () if self.labels is None else tuple(self.labels.sizes.tolist())
        return _threshold(sizes, self.samples_at_top)

    @cached_property
    def kinds(self) -> dict[str, np.ndarray]:
        """(units,) bool for each kind."""
        t, n = self.table, len(self.table["unit"])
        dead = np.asarray(t["dead"], bool) | ~(np.asarray(t["maximum"], float) > 0)
        share = np.nan_to_num(np.asarray(t["top_class_share"], float))
        starred = np.zeros(n, bool)
        starred[[s for s in self.stars if 0 <= s < n]] = True
        return {
            "dead": dead,
            "dense": (np.asarray(t["fraction_positive"]) > DENSE) & ~dead,
            "selective": (share > self.threshold) & ~dead,
            "starred": starred,
        }

    @cached_property
    def orders(self) -> dict[str, str]:
        """What the list can be ordered by, in words."""
        known = {"unit": f"{self.word.capitalize()} number", **STATISTICS}
        if self.fits is not None:
            known["fits"] = FITS
        if self.certificate is not None:
            asked = certificates.columns(self.certificate)
            known |= {
                "certificate": "Tests passed",
                **{k: v for k, v in certificates.COLUMNS.items() if k in asked},
            }
        return known

    def sorts(self, order: str) -> np.ndarray:
        """(units,) what an order goes by; unit numbers for one that there is not."""
        if order == "fits" and self.fits is not None:
            return self.fits
        if order in self.orders and order not in self.table and self.certificate is not None:
            found = self.certificate.columns["passed"] if order == "certificate" else None
            return found if found is not None else certificates.columns(self.certificate)[order]
        return np.asarray(self.table[order if order in self.table else "unit"], float)

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many units each choice shows, "" for all."""
        n = len(self.table["unit"])
        found = {name: int(mask.sum()) for name, mask in self.kinds.items()}
        return {"": n, "alive": n - found["dead"], **found}

    def help_of(self, kind: str) -> str:
        """What a kind means here."""
        if kind == "selective":
            if self.threshold >= 1:
                return "needs labels with at least two classes."
            return (
                f"more than {100 * self.threshold:.0f} % of its strongest rows are of one class; with shuffled labels "
                f"1 {self.word} in 1,000 gets there (its strongest rows counted as {self.samples_at_top} samples)."
            )
        return {
            "dead": "constant, or never above 0: it says nothing about any sample here.",
            "dense": f"above 0 on more than {100 * DENSE:.0f} % of the rows: always on.",
            "starred": "starred by somebody in this workspace.",
        }[kind]


@dataclass(frozen=True)
class FeatureList:
    """`units` in display order; `columns` by name for those units; `total` units of the tap; `word` for one of them."""

    units: np.ndarray
    columns: dict[str, np.ndarray]
    total: int
    word: str = "unit"


@functools.lru_cache(maxsize=64)
def _threshold(class_sizes: tuple[int, ...], strongest: int) -> float:
    if len([size for size in class_sizes if size]) < 2:
        return 1.0
    drawn = best_by_chance(class_sizes, strongest, 4000)
    return float(np.quantile(drawn, 0.999)) / min(strongest, sum(class_sizes))


def listed(
    tap: Tap,
    *,
    kind: str = "",
    top_class: str = "",
    search: str = "",
    order: str = "unit",
    rising: bool = False,
    among: np.ndarray | None = None,
    test: str = "",
    tag: str = "",
) -> FeatureList:
    """Filter and order the units, starred ones first; "alive" means not dead. `among`: only these numbers; `test`: only
    those of which the certificate says so (`certificates.FILTERS`); `tag`: only those that have it."""
    table, n = tap.table, len(tap.table["unit"])
    keep = np.ones(n, bool)
    if kind in tap.kinds:
        keep &= tap.kinds[kind]
    elif kind == "alive":
        keep &= ~tap.kinds["dead"]
    if top_class in tap.classes:
        keep &= np.asarray(table["top_class"]) == tap.classes.index(top_class)
    if among is not None:
        keep &= np.isin(np.arange(n), among)
    if tag:
        keep &= np.isin(np.arange(n), [unit for unit, words in tap.tags.items() if tag in words])
    if test and tap.certificate is not None:
        keep &= certificates.masks(tap.certificate).get(test, True)
    if search.strip():
        keep &= _matches(search, n, tap.unit_names)
    units = np.flatnonzero(keep)
    order = order if order in tap.orders else "unit"
    by = np.asarray(tap.sorts(order), float)[units]
    falling = order != "unit" and not rising  # unit numbers rise; statistics fall unless asked otherwise
    by = np.where(np.isfinite(by), -by if falling else by, np.inf)
    units = units[np.lexsort((units, by, ~tap.kinds["starred"][units]))]
    return FeatureList(units, _columns(tap, units), n, tap.word)


def _matches(search: str, n: int, unit_names: tuple[str, ...]) -> np.ndarray:
    """Numbers ("12", "3-9", "1, 5") mean units; anything else is looked for in their names."""
    mask = np.zeros(n, bool)
    names = [str(name).casefold() for name in unit_names]
    for part in [p.strip() for p in search.replace(";", ",").split(",") if p.strip()][:100]:
        low, dash, high = part.partition("-")
        if low.strip().isdecimal() and (not dash or high.strip().isdecimal()):
            first = int(low.strip()[:12])
            mask[first : (int(high.strip()[:12]) if dash else first) + 1] = True
        elif names:
            mask |= np.array([part.casefold() in name for name in names])
    return mask


def _columns(tap: Tap, units: np.ndarray) -> dict[str, np.ndarray]:
    shown: dict[str, np.ndarray] = {"star": np.where(tap.kinds["starred"][units], "★", ""), "unit": units}
    if any(str(i) != name for i, name in enumerate(tap.unit_names)):
        shown["name"] = np.array(tap.unit_names)[units]
        if tap.fits is not None:
            shown["fits"] = tap.fits[units]
    if tap.tags:
        shown["tags"] = np.array([", ".join(tap.tags.get(int(unit), ())) for unit in units])
    if tap.classes:
        code = np.asarray(tap.table["top_class"])[units]
        names = np.array([*tap.classes, ""])
        shown["top_class"] = names[np.where((code >= 0) & (code < len(tap.classes)), code, len(tap.classes))]
    if tap.certificate is not None:
        shown |= {name: column[units] for name, column in certificates.columns(tap.certificate).items()}
    for name in STATISTICS:
        if name in tap.table and (tap.classes or name != "top_class_share"):
            shown[name] = np.asarray(tap.table[name], float)[units] * (100 if name in SHARES else 1)
    return shown


def neighbours(units: np.ndarray, unit: int) -> tuple[int | None, int | None]:
    """The units before and after one in the listed order; (None, None) when it is not listed."""
    place = np.flatnonzero(units == unit)
    if not len(place):
        return None, None
    k = int(place[0])
    return (int(units[k - 1]) if k else None), (int(units[k + 1]) if k + 1 < len(units) else None)


def another(units: np.ndarray, unit: int) -> int | None:
    """A random other unit of the list; None when there is no other."""
    others = units[units != unit]
    return int(np.random.default_rng().choice(others)) if len(others) else None
