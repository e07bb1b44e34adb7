"""`loupe pack` and `loupe unpack`: a workspace as one file, and back."""

from __future__ import annotations

from analysis.errors import ParameterError
from analysis.workspace import Workspace
from dashboard.commands.output import Bar, one_line, print_json


def pack(given) -> int:
    from analysis.sharing import packing

    workspace = Workspace.open(given.packed)
    chosen = {"networks": given.networks, "data": given.data, "without": tuple(given.without)}
    if given.dry_run:
        with packing.planned(workspace, **chosen) as plan:
            return _print_plan(given, plan)
    if given.out is None:
        raise ParameterError("no file is named", "--out FILE")
    bar = Bar(given)
    made = packing.pack(workspace, given.out, **chosen, replace=given.replace, progress=bar)
    bar.end()
    if given.json:
        return print_json({"kind": "pack", "path": str(made.path), "digest": made.digest, "files": made.n_files,
                           "bytes": made.n_bytes, **made.about})  # fmt: skip
    print(f"packed {made.n_files:,} files, {made.n_bytes / 2**20:,.1f} MiB, as {made.path}")
    _print_content(made.about)
    print(f"  digest {made.digest}")
    return 0


def unpack(given) -> int:
    from analysis.sharing import unpacking

    bar = Bar(given)
    made = unpacking.unpack(given.pack, given.out, digest=given.digest, replace=given.replace, progress=bar)
    bar.end()
    links = [{"store": store, "of": word, "is": state} for store, word, state in made.links]
    if given.json:
        return print_json({**made.about, "kind": "workspace", "path": str(made.path), "files": made.n_files,
                           "bytes": made.n_bytes, "links": links})  # fmt: skip
    print(
        f"unpacked {made.n_files:,} files, {made.n_bytes / 2**20:,.1f} MiB, to {made.path}: every checksum holds"
    )
    _print_content(made.about)
    for link in links:
        if link["is"] != "inside":
            print(one_line(f"  {link['of']} of {link['store']}: {link['is']}"))
    print(f"  digest {made.digest}")
    return 0


def _print_plan(given, plan) -> int:
    folders: dict[str, list[int]] = {}
    for name, size in plan.sizes.items():
        parts = name.split("/")
        deep = 3 if parts[1] in ("stores", "features", "inputs") else 2
        files = folders.setdefault("/".join(parts[1:deep]) or parts[1], [0, 0])
        files[0], files[1] = files[0] + 1, files[1] + size
    if given.json:
        content = [{"what": k, "files": n, "bytes": b} for k, (n, b) in sorted(folders.items())]
        return print_json({"kind": "plan of a pack", "files": len(plan.files), "bytes": plan.n_bytes,
                           "content": content, **plan.about})  # fmt: skip
    for what, (n, size) in sorted(folders.items()):
        print(f"  {one_line(what):<50} {n:>7,} files {size / 2**20:>10,.1f} MiB")
    print(f"would pack {len(plan.files):,} files, {plan.n_bytes / 2**20:,.1f} MiB")
    _print_content(plan.about)
    return 0


def _print_content(about: dict) -> None:
    print(f"  {len(about['stores'])} store(s), {len(about['features'])} feature set(s), "
          f"{about['results']} kept result(s)")  # fmt: skip
    for what, why in about["left_out"]:
        print(one_line(f"  left out: {what}: {why}"))
