"""`loupe features name`: names by the language model that the environment configures."""

from __future__ import annotations

from dashboard.commands.output import Bar, one_line, plain, print_json, workspace_of


def name(given) -> int:
    """Show what would be sent, or send it."""
    workspace = workspace_of(given)
    if given.show:
        return _show(workspace, given)
    from analysis.naming.proposing import propose

    bar = Bar(given)
    made = propose(workspace, given.input, given.features, progress=bar)
    bar.end()
    without = {str(number): why for number, why in made.without.items()}
    if given.json:
        found = [
            {**plain(p), "estimate": None if p.score is None else plain(p.score.estimate)} for p in made.found
        ]
        return print_json({"kind": "proposed names", "tap": given.input, "names": found, "without": without})
    for one in made.found:
        print(f"{one.unit}: {one_line(one.name)}  ({_score(one)})")
    for number, why in without.items():
        print(f"{number}: no name, {one_line(why)}")
    return 0


def _show(workspace, given) -> int:
    from analysis.naming.preview import preview
    from analysis.naming.settings import configured

    settings, (store, _, tap) = configured(), given.input.partition(":")
    workspace.activations(given.input)  # refuses what is no STORE:TAP
    seen = {number: preview(workspace.store(store), tap, number) for number in given.features}
    where = None if settings is None else settings.where
    if given.json:
        return print_json(
            {"kind": "what would be sent", "to": where, "texts": {str(k): plain(v) for k, v in seen.items()}}
        )
    print(f"nothing is sent now; it would go to {where or 'nobody: no language model is configured'}")
    for number, one in seen.items():
        for question in (one.name, one.fit):
            for role, text in question:
                print(f"--- feature {number}, {role}\n" + "\n".join(map(one_line, text.splitlines())))
    return 0


def _score(one) -> str:
    if one.score is None:
        return f"not scored: {one_line(one.unscored)}"
    e, verdict = one.score.estimate, "beyond it" if one.score.beyond_chance else "not beyond it"
    score = f"detection AUROC {e.value:.2f}, {e.low:.2f} to {e.high:.2f}"
    return f"{score}; by chance 0.50, up to {e.null_high:.2f}: {verdict}"
