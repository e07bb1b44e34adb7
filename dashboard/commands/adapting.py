"""`loupe adapt`: which network a file of adapter weights was trained on top of, so that both are opened as one."""

from __future__ import annotations

from dashboard.commands.output import one_line, print_json, say


def adapt(given) -> int:
    from analysis.errors import InputError
    from analysis.sources.adapters.description import PEFT, WEIGHTS, read_adapter, write_adapter
    from analysis.sources.adapters.over_base import load
    from analysis.sources.file_magic import existing

    path = existing(given.adapter, "adapter").resolve()
    base = existing(given.base, "base network").resolve()
    beside = [path / name for name in WEIGHTS if path.is_dir() and (path / name).is_file()]
    if path.is_dir() and not beside:
        raise InputError(f"{path} has none of {', '.join(WEIGHTS)}", "the file of the adapter's weights",
                         "Give the file itself")  # fmt: skip
    weights = beside[0] if beside else path
    made = write_adapter(
        weights, base, alpha=given.alpha, scale=given.scale, activation=given.activation, at=given.at
    )
    known = made.parent / PEFT
    told = known if known.is_file() else made  # PEFT's own settings stay in force; only its base is ours
    try:
        loaded = load(told)
    except Exception:
        made.unlink()
        raise
    if given.json:
        return print_json({"kind": "adapter", "path": str(made), "base": str(read_adapter(told).base),
                           "notes": loaded.notes})  # fmt: skip
    print(f"written: {one_line(str(made))}")
    for note in loaded.notes:
        say(given, note)
    return 0
