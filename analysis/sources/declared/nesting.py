"""Layers by dotted names, as they ran, to the nested lists of a description."""

from __future__ import annotations

from dataclasses import dataclass, field

from analysis.sources.declared.layers import RESIDUAL, SEQUENTIAL, SHORTCUT

SUM = "sum"  # a Residual, until it takes the name of the module that holds just it


@dataclass(frozen=True)
class Entry:
    """One layer: its dotted `name`, and the name `of` the module it was, "" for what ran as a function. Of a Residual
    `layers`, `shortcut` and, in `name` up to its last dot, the module they stand in."""

    name: str
    type: str
    args: dict = field(default_factory=dict)
    of: str = ""
    layers: tuple[Entry, ...] = ()
    shortcut: tuple[Entry, ...] = ()


def free(name: str, taken: set[str]) -> str:
    """`name`, or with a number behind it where that is taken; taken from now on."""
    found, k = name, 1
    while found in taken:
        k += 1
        found = f"{name}_{k}"
    taken.add(found)
    return found


def common(*names: str) -> str:
    """The beginning that dotted names share, with its dot and without their last parts; "" for none."""
    shared: list[str] = []
    for parts in zip(*(n.split(".")[:-1] for n in names), strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return "".join(f"{part}." for part in shared)


def nested(entries, renamed: dict[str, str], own: str = "", drop: str = "") -> list[dict]:
    """Layers as JSON has them. `own`: where in the described network they stand; `drop`: what their names have more
    in the person's network. `renamed` gets the beginnings of keys that are called otherwise there."""
    groups: list[tuple[str, list[Entry]]] = []
    for entry in entries:
        head, dot, _ = entry.name.removeprefix(drop).partition(".")
        if dot and groups and groups[-1][0] == f"{head}.":
            groups[-1][1].append(entry)
        else:
            groups.append((head + dot, [entry]))
    taken: set[str] = set()
    layers = []
    for head, inner in groups:
        name = free(head.removesuffix("."), taken)
        if not head.endswith(".") or (len(inner) == 1 and inner[0].name == f"{drop}{head}{SUM}"):
            layers.append(_one(inner[0], renamed, own, name))
        else:
            held = nested(inner, renamed, f"{own}{name}.", f"{drop}{head}")
            layers.append({"name": name, "type": SEQUENTIAL, "layers": held})
    return layers


def _one(entry: Entry, renamed: dict[str, str], own: str, name: str) -> dict:
    if entry.type == RESIDUAL:
        inside, at = entry.name.rpartition(".")[0], f"{own}{name}."
        made = {"name": name, "type": RESIDUAL}
        made["layers"] = nested(entry.layers, renamed, at, f"{inside}." if inside else "")
        if entry.shortcut:
            held = common(*(e.name for e in entry.shortcut))
            made[SHORTCUT] = nested(entry.shortcut, renamed, f"{at}{SHORTCUT}.", held)
        return made
    if entry.of and entry.of != f"{own}{name}":
        renamed[f"{own}{name}."] = f"{entry.of}."
    return {"name": name, "type": entry.type, **({"args": entry.args} if entry.args else {})}
