"""The papers behind the methods: every title has an entry, and the file is BibTeX to a second, stricter reader."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from analysis import registry
from analysis.errors import InputError
from analysis.results import Origin, Table
from analysis.sharing.baskets.basket import Panel
from analysis.sharing.bibliography import (
    FILE,
    OURS,
    VENUES,
    bibtex,
    entries,
    key_of_title,
    keys_of_library,
    keys_of_method,
    parsed,
)
from analysis.sharing.latex_letters import latex_letters
from dashboard.baskets.methods_text import cited, methods_paragraphs, methods_tex
from dashboard.baskets.panels import Ready

WITHOUT_PAPER = {"unit_pair", "directions", "attention_pattern", "latency", "rule_agreement", "token_film",
                 "token_ledger", "class_means"}  # fmt: skip


def strictly(text: str) -> dict[str, dict[str, str]]:
    """Entries as the grammar of BibTeX has them, character by character; raises ValueError. Written for this test."""
    found, i = {}, 0
    text = re.sub(r"^%.*$", "", text, flags=re.MULTILINE)
    while (i := text.find("@", i)) >= 0:
        head = re.compile(r"@[a-z]+\{([a-z0-9]+),").match(text, i)
        if head is None:
            raise ValueError(text[i : i + 40])
        i, fields = head.end(), {}
        while True:
            while text[i] in " \n,":
                i += 1
            if text[i] == "}":
                break
            name = re.compile(r"([a-z]+) = \{").match(text, i)
            if name is None or name.group(1) in fields:
                raise ValueError(text[i : i + 40])
            start = i = name.end()
            depth = 1
            while depth:
                depth += (text[i] == "{") - (text[i] == "}")
                i += 1
            fields[name.group(1)] = text[start : i - 1]
        if head.group(1) in found:
            raise ValueError(head.group(1))
        found[head.group(1)] = fields
    return found


def test_every_paper_of_every_method_has_an_entry():
    without = {
        title for m in registry.methods().values() for title in m.papers if key_of_title(title) is None
    }
    assert not without
    assert {m.id for m in registry.methods().values() if not keys_of_method(m.id)} <= WITHOUT_PAPER


def test_every_title_and_method_in_the_file_is_used():
    titles = {title for m in registry.methods().values() for title in m.papers}
    told = {title for entry in entries().values() for title in entry.told("index")}
    assert told <= titles
    assert {id for entry in entries().values() for id in entry.told("method")} <= set(registry.methods())


def test_the_file_is_bibtex_to_another_reader():
    other = strictly(FILE.read_text(encoding="utf-8"))
    assert {key: entry.fields for key, entry in entries().items()} == other
    given = strictly(bibtex(entries()))
    assert set(given) == set(other)
    assert not {name for fields in given.values() for name in fields} & set(OURS)


def test_entries_have_a_title_and_sound_years_and_names():
    for key, entry in entries().items():
        assert entry.fields["title"].strip("{} "), key
        assert re.fullmatch(r"(19|20)\d\d", entry.fields.get("year", "2000")), key
        for name in entry.fields.get("author", "X, Y").split(" and "):
            assert name == "others" or name.count(",") == 1, (key, name)
        assert not re.search(r"(?<!\\)[%#&_]", entry.fields["title"].replace("$R^2$", "")), key
        assert entry.type in ("misc", "article", "inproceedings")
        assert {"article": "journal", "inproceedings": "booktitle"}.get(
            entry.type, "title"
        ) in entry.fields, key


NEEDED = {"article": "journal", "inproceedings": "booktitle", "misc": "howpublished"}
KNOWN = {
    "author",
    "title",
    "year",
    "note",
    *VENUES,
    "volume",
    "number",
    "pages",
    "doi",
    "url",
    "eprint",
    *OURS,
}
FORMS = {
    "pages": r"[A-Z]?\d+(--[A-Z]?\d+)?",
    "doi": r"10\.\d{4,9}/\S+",
    "eprint": r"\d{4}\.\d{4,5}",
    "volume": r"\d+",
    "number": r"\d+(--\d+)?",
    "url": r"https://\S+",
}


def faults_of(entry) -> list[str]:
    """What can be seen to be wrong in an entry without looking the paper up."""
    told = entry.fields
    found = [f"unknown field {name}" for name in set(told) - KNOWN]
    found += [
        f"{name} {told[name]}"
        for name, form in FORMS.items()
        if name in told and not re.fullmatch(form, told[name])
    ]
    venues = {name for name in VENUES if name in told}
    if venues - {NEEDED[entry.type]}:
        found.append(f"a {entry.type} with {', '.join(venues)}")
    pages = [int(n) for n in re.findall(r"\d+", told.get("pages", ""))]
    if pages != sorted(pages):
        found.append(f"pages {told['pages']}")
    number = re.search(r"arXiv:(\S*)", told.get("howpublished", ""))
    known = number and re.fullmatch(r"(\d\d)(0[1-9]|1[0-2])\.\d{4,5}", number[1])
    if number and (not known or int(known[1]) + 2000 != int(told["year"])):
        found.append(f"{number[0]} in {told['year']}")
    authors = told.get("author", "").split(" and ")
    if len(set(authors)) < len(authors) or "others" in authors[:-1]:
        found.append(f"authors {told['author']}")
    last = latex_letters(authors[0].partition(",")[0]).replace("{\\i}", "i")
    last = re.sub(r"[^a-z]", "", re.sub(r"\\[a-zA-Z]+ ?|\\.", "", last).lower())
    if "author" in told and not entry.key.startswith(last + told.get("year", "")):
        found.append(f"the key does not begin with {last}{told.get('year', '')}")
    return found


def test_nothing_in_an_entry_contradicts_the_rest_of_it():
    found = {key: faults for key, entry in entries().items() if (faults := faults_of(entry))}
    assert not found


@pytest.mark.parametrize(
    ("field", "wrong", "said"),
    [
        ("howpublished", "arXiv preprint arXiv:2412.161", "arXiv:2412.161 in 2024"),
        ("howpublished", "arXiv preprint arXiv:2413.16146", "arXiv:2413.16146 in 2024"),
        ("year", "2023", "arXiv:2412.16146 in 2023"),
        ("journal", "Nature", "a misc with"),
        ("author", "Baty, Enis and Baty, Enis", "authors"),
        ("author", "Smith, Enis", "the key does not begin with smith2024"),
        ("pages", "17--4", "pages 17--4"),
        ("pages", "17-40", "pages 17-40"),
        ("doi", "https://doi.org/10.1/x", "doi"),
        ("journl", "Nature", "unknown field journl"),
    ],
)
def test_what_contradicts_itself_is_seen(field, wrong, said):
    entry = entries()["baty2024mamba2d"]
    assert any(said in fault for fault in faults_of(replace(entry, fields=entry.fields | {field: wrong})))


# methods name these by what they are about, not by their titles
BY_OTHER_NAMES = {"shazeer2016swivel", "thilak2024lidar"}


def words_of(text: str) -> set[str]:
    """The words that tell a paper from others; -isation is -ization."""
    text = re.sub(r"\(.*?\)", "", re.sub(r"[{}\\]", "", text)).lower().replace("isation", "ization")
    return set(re.findall(r"[a-z0-9²^$]{3,}", text.replace("-", " "))) - {"the", "and", "for", "with", "via"}


def test_titles_are_those_of_the_papers_that_methods_name():
    for key, entry in entries().items():
        title = words_of(entry.fields["title"])
        for named in entry.told("index"):
            asked = words_of(named)
            if key not in BY_OTHER_NAMES:
                assert len(asked & title) >= 0.5 * len(asked), (key, named, sorted(title))


def test_an_entry_is_whole_or_says_that_it_is_not():
    program = keys_of_library("feature-loupe")
    for key, entry in entries().items():
        venue = [name for name in VENUES if entry.fields.get(name)]
        whole = bool(entry.fields.get("author") and entry.fields.get("year") and venue)
        assert entry.unconfirmed != whole or key in program, key
        assert len(venue) <= 1, key


def test_the_methods_paragraph_names_what_is_to_be_looked_up():
    lacking = [id for id in registry.methods() if any(entries()[k].unconfirmed for k in keys_of_method(id))]
    whole = next(id for id in registry.methods() if id not in lacking)
    for id, said in ((lacking[0], True), (whole, False)):
        origin = Origin(id, 1, {}, (), 0, {})
        one = Ready(
            Panel("0", {"method": id, "inputs": []}),
            "a",
            "a",
            Table(title="t", origin=origin, columns={}),
            {},
        )
        paragraphs = methods_paragraphs(None, [one])
        assert ("not confirmed" in methods_tex(paragraphs)) == said
        keys = {key for key in cited(paragraphs) if entries()[key].unconfirmed}
        assert bool(keys) == said
        assert bibtex(keys).count("details not confirmed") == len(keys)


def test_papers_are_one_entry_whatever_they_are_called():
    assert key_of_title("SVCCA") == key_of_title("svcca")
    long = "Convergent Learning: Do different neural networks learn the same representations?"
    both = {key_of_title("Convergent Learning"), key_of_title(long)}
    assert len(both) == 1
    assert key_of_title("No such paper") is None
    assert keys_of_method("no such method") == ()
    assert keys_of_library("umap-learn") == keys_of_method("umap")
    assert keys_of_library("feature-loupe")


@pytest.mark.parametrize(
    "text",
    ["@misc{a, title = {x}", "@misc{a, title = x}", "@misc{a, title = {x}}\n@misc{a, title = {y}}",
     "@misc{a, title = {x}, title = {y}}", "hello @misc{a, title = {x}}", "@misc{a, title = {x}} and more"],
)  # fmt: skip
def test_what_is_no_bibtex_is_refused(text):
    with pytest.raises(InputError):
        parsed(text)
