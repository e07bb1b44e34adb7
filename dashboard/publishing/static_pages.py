"""The pages that need no script: overview, figures, notes."""

from __future__ import annotations

from urllib.parse import quote

from dashboard.publishing.asked import Asked
from dashboard.publishing.pages import facts, table, text
from dashboard.publishing.plan import Plan

ESTIMATES = ("Number", "Value [interval]", "By chance", "How")


def feature_link(reference: str, unit: int) -> str:
    """The stable address of a feature's card, from the top of the bundle."""
    return f"features.html#/feature/{quote(reference, safe=':@')}/{unit}"


def overview(title: str, asked: Asked, plan: Plan, made: list, digest_line: str, version: str) -> str:
    """What this is, what can be seen, how it was made, what was left out. `made` : (store, lines of its origin)."""
    parts = [f"<h1>{text(title)}</h1>"]
    if asked.authors:
        parts.append(f'<p class="authors">{text(asked.authors)}</p>')
    parts += [f"<p>{text(line)}</p>" for line in asked.about.split("\n\n") if line.strip()]
    parts.append(
        "<p>What a neural network has learned, feature by feature: what each one responds to, how strongly, for which "
        "classes, and what is like it. Every number stands beside its interval and beside the value that chance gives. "
        "These pages are read-only and need no connection.</p>"
    )
    parts.append(f"<h2>What can be seen</h2>{_contents(plan)}")
    parts.append(f"<h2>Features</h2>{_taps(plan)}")
    parts.append("<h2>How it was made</h2>")
    parts += [f"<h3>{text(name)}</h3>{facts(lines)}" for name, lines in made]
    parts.append(f"<h2>What was left out</h2>{_left_out(asked, plan)}")
    parts.append(f"<h2>Citing and reuse</h2>{_citing(title, asked, digest_line, version)}")
    return "\n".join(parts)


def _contents(plan: Plan) -> str:
    lines = [
        (
            f"{plan.n_cards:,} feature cards",
            "features.html",
            "what each feature responds to, one card each, with search",
        )
    ]
    if plan.maps:
        lines.insert(
            0,
            (
                _many(len(plan.maps), "map"),
                "map.html",
                "samples, tokens or units as points, with what the picture distorts",
            ),
        )
    if plan.heatmaps:
        lines.append(
            (_many(len(plan.heatmaps), "heat map"), "heatmaps.html", "correlations, down to single cells")
        )
    if plan.figures:
        lines.append(
            (_many(len(plan.figures), "figure"), "figures.html", "with captions, numbers as CSV, and recipes")
        )
    lines.append(("Notes", "notes.html", "what was written about features, and selections"))
    return '<ul class="contents">' + "".join(
        f'<li><a href="{to}">{text(name)}</a> <span>{text(what)}</span></li>' for name, to, what in lines
    ) + "</ul>"  # fmt: skip


def _many(n: int, one: str) -> str:
    return f"{n:,} {one}{'' if n == 1 else 's'}"


def _taps(plan: Plan) -> str:
    rows = [
        (f'<a href="features.html#/list/{quote(t.reference, safe=":@")}">{text(t.reference)}</a>',
         f"{len(t.units):,} of {t.n_units:,}", text(t.said),
         f'<a href="data/taps/{t.slug}/features.csv" download>CSV</a>')
        for t in plan.taps
    ]  # fmt: skip
    return table(("Tap", "Features", "Which", "Table"), rows, "Taps of which features are shown")


NEVER = (  # what no bundle holds
    ("networks, data and activations", "a bundle shows results; loupe pack sends what they were made of"),
    (
        "of features of a set: pursuit, families, live tests",
        "they need the network, and are in the dashboard",
    ),
    ("examples beyond the 15 strongest and 6 of each weaker band", "the dashboard shows up to 64"),
)


def _left_out(asked: Asked, plan: Plan) -> str:
    lines = [*plan.left_out_shortly, *NEVER]
    if not asked.pictures:
        what = "pictures, texts and recorded values of samples"
        lines.insert(0, (what, "the data may not be public (--without-pictures)"))
    return '<ul class="left-out">' + "".join(f"<li>{text(a)}: {text(b)}</li>" for a, b in lines) + "</ul>"


def _citing(title: str, asked: Asked, digest_line: str, version: str) -> str:
    who = f"{asked.authors}. " if asked.authors else ""
    licence = asked.licence or (
        "No licence is stated: ask the authors before you reuse the data, the pictures or the notes."
    )
    return (
        f"<p>{text(who)}<cite>{text(title)}</cite>. Made with Feature Loupe {text(version)}. {text(digest_line)}</p>"
        f"<p>{text(licence)}</p>"
        "<p>The program that draws these pages is part of Feature Loupe, under the MIT License "
        '(<a href="LICENSE.txt">text</a>). Every file and its checksum: <a href="manifest.json">manifest.json</a>.</p>'
    )


def figure_page(shown: list[dict]) -> str:
    """All figures below each other. Each of `shown`: words, `files` by format, `size` in points."""
    if not shown:
        return "<h1>Figures</h1><p>No figure was published.</p>"
    links = "".join(f'<li><a href="#{f["anchor"]}">{text(f["title"])}</a></li>' for f in shown)
    return (
        f"<h1>Figures</h1><details><summary>All {len(shown):,} titles</summary><ol>{links}</ol></details>"
        + "".join(map(_figure, shown))
    )


def _figure(one: dict) -> str:
    width, height = one["size"]
    links = " ".join(
        f'<a href="{one["files"][format]}" download>{word}</a>'
        for format, word in (("svg", "SVG"), ("csv", "CSV"), ("json", "Recipe"))
        if format in one["files"]
    )
    numbers = table(
        ESTIMATES, [[text(cell) for cell in line] for line in one["estimates"]], f"Numbers of {one['title']}"
    )
    more = f"<details><summary>{len(one['estimates']):,} numbers with intervals and chance</summary>{numbers}</details>"
    return (
        f'<figure id="{one["anchor"]}"><h2><a href="#{one["anchor"]}">{text(one["title"])}</a></h2>'
        f'<div class="sheet"><img src="{one["files"]["svg"]}" alt="{text(one["alt"])}" loading="lazy" '
        f'width="{width * 4 / 3:.0f}" height="{height * 4 / 3:.0f}"></div>'
        f"<figcaption>{text(one['caption'])}</figcaption>"
        f'<p class="links">{links} <a href="#{one["anchor"]}">Link</a>{text(one.get("without", ""))}</p>'
        f"{more if one['estimates'] else ''}{_written(one['written'])}</figure>"
    )


def note_page(notes: list[dict], selections: list[tuple], hidden: int, figures: list[dict]) -> str:
    """Notes by feature, and named selections, as of `written_data.notes`, and notes on `figures`, as of
    `figure_page`."""
    parts = ["<h1>Notes</h1>", *map(_note, notes)]
    if not notes:
        parts.append("<p>Nobody wrote about the features that are shown.</p>")
    if hidden:
        why = "which is not shown" if hidden == 1 else "which are not shown"
        parts.append(f"<p>What was written about {_many(hidden, 'other feature')}, {why}, stays out.</p>")
    about = [one for one in figures if any(one["written"].values())]
    if about:
        parts += ["<h2>Figures</h2>", *map(_figure_note, about)]
    if selections:
        rows = [[text(cell) for cell in line] for line in selections]
        heads = ("Name", "What it holds", "How it came about")
        parts.append("<h2>Selections</h2>" + table(heads, rows, "Named selections"))
    return "\n".join(parts)


def _note(one: dict) -> str:
    link = f'<a href="{feature_link(one["reference"], one["unit"])}">{text(one["unit"])}</a>'
    head = f"<h2>{link} <span>{text(one['reference'])}</span></h2>"
    return f'<article class="note">{head}{_written(one)}</article>'


def _figure_note(one: dict) -> str:
    head = f'<h3><a href="figures.html#{one["anchor"]}">{text(one["title"])}</a></h3>'
    return f'<article class="note">{head}{_written(one["written"])}</article>'


def _written(one: dict) -> str:
    """Tags, note and thread of a feature or a figure; nothing where nobody wrote."""
    replies = "".join(f"<li>{text(said)}{_by(who)}</li>" for said, who in one["replies"])
    tags = "".join(f'<span class="badge">{text(tag)}</span> ' for tag in one["tags"])
    note = f'<p class="written">{text(one["note"])}{_by(one["who"])}</p>' if one["note"] else ""
    thread = f'<ul class="written">{replies}</ul>' if replies else ""
    return f"{f'<p>{tags}</p>' if tags else ''}{note}{thread}"


def _by(who: str) -> str:
    return f' <span class="who">{text(who)}</span>' if who else ""
