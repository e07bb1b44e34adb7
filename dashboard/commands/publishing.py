"""`loupe publish`: a workspace as a read-only site of plain files."""

from __future__ import annotations

from analysis.errors import ParameterError
from analysis.workspace import Workspace
from dashboard.commands.output import Bar, one_line, print_json


def publish(given) -> int:
    from dashboard.publishing import bundle, estimate
    from dashboard.publishing.asked import Asked

    workspace = Workspace.open(given.published)
    asked = Asked(
        taps=tuple(given.taps), features=given.features, most=given.most, maps=tuple(given.maps),
        heatmaps=given.heatmaps, figures=tuple(given.figures), pictures=not given.without_pictures,
        who=given.note_authors, title=given.title, authors=given.authors, about=given.about, licence=given.licence,
    )  # fmt: skip
    if given.dry_run:
        return _print_plan(given, *estimate.estimated(workspace, asked))
    if given.out is None:
        raise ParameterError("no folder is named", "--out DIR")
    bar = Bar(given)
    made = bundle.publish(workspace, given.out, asked, replace=given.replace, progress=bar)
    bar.end()
    if given.json:
        return print_json({"kind": "bundle", "path": str(made.path), "digest": made.digest, "files": made.n_files,
                           "bytes": made.n_bytes, **_content(made.plan)})  # fmt: skip
    print(f"published {made.n_files:,} files, {made.n_bytes / 1e6:,.1f} MB, in {made.path}")
    _print_content(made.plan)
    print(f"  digest {made.digest}")
    print(one_line(f"  open {made.path / 'index.html'} in a browser, or copy the folder to any web server"))
    return 0


def _content(plan) -> dict:
    return {"cards": plan.n_cards, "taps": {t.reference: len(t.units) for t in plan.taps}, "maps": len(plan.maps),
            "heatmaps": len(plan.heatmaps), "figures": len(plan.figures),
            "left_out": [list(pair) for pair in plan.left_out]}  # fmt: skip


def _print_plan(given, plan, sizes: dict) -> int:
    total = sum(sizes.values())
    if given.json:
        return print_json(
            {"kind": "plan of a bundle", "estimated_bytes": total, "by_part": sizes, **_content(plan)}
        )
    for tap in plan.taps:
        print(
            one_line(f"  {tap.reference:<50} {len(tap.units):>7,} of {tap.n_units:,} features ({tap.said})")
        )
    for word, n_bytes in sizes.items():
        print(f"  {word:<50} about {n_bytes / 1e6:>8,.1f} MB")
    print(f"would publish about {total / 1e6:,.1f} MB (estimated from some of the cards, maps and figures)")
    _print_content(plan)
    return 0


def _print_content(plan) -> None:
    print(f"  {plan.n_cards:,} feature cards of {len(plan.taps)} tap(s), {len(plan.maps)} map(s), "
          f"{len(plan.heatmaps)} heat map(s), {len(plan.figures)} figure(s)")  # fmt: skip
    for what, why in plan.left_out_shortly:
        print(one_line(f"  left out: {what}: {why}"))
