"""Tables, captions, methods and references, set by a real LaTeX: nothing stops it, nothing stands out of the page."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from test_figures_planted import hostile, ordinary, table

from analysis.results import load
from analysis.sharing.baskets.basket import Basket, Panel
from analysis.sharing.bibliography import bibtex, entries
from analysis.sharing.latex_letters import latex_letters
from analysis.workspace import Workspace
from dashboard.baskets.captions import captions_tex
from dashboard.baskets.methods_text import cited, methods_paragraphs, methods_tex
from dashboard.baskets.panels import Ready
from dashboard.figures import export

SAMPLE = Path(__file__).parents[1] / "sample_data" / "workspace"
HEAD = "\\documentclass[twocolumn]{article}\n\\usepackage{booktabs,graphicx}\n"
OUT_OF_THE_PAGE = 5.0  # points by which a line may stand out; a hyphen has three

needs_latex = pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="pdflatex is not installed (Debian: texlive-latex-recommended)"
)


def set_by(program: str, folder: Path, *given: str) -> str:
    """What LaTeX or BibTeX says; raises AssertionError where it stops."""
    done = subprocess.run(
        [program, *given], cwd=folder, capture_output=True, timeout=300, check=False, stdin=subprocess.DEVNULL
    )
    said = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, said[-3000:]
    return said


def latex(folder: Path, body: str, head: str = HEAD) -> str:
    (folder / "paper.tex").write_text(
        f"{head}\\begin{{document}}\n{body}\n\\end{{document}}\n", encoding="utf-8"
    )
    return set_by(
        "pdflatex", folder, "-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error", "paper"
    )


def complaints(said: str) -> list[str]:
    """What LaTeX warns of that a reader would see, with the part of the document."""
    found = []
    for part in re.split(r"\nPART ", "\n" + said)[1:]:
        name, whole = part.split()[0], part.replace("\n", "")
        wide = [float(x) for x in re.findall(r"Overfull \\hbox \(([\d.]+)pt too wide", whole)]
        found += [f"{name}: {x} pt out of the page" for x in wide if x > OUT_OF_THE_PAGE]
        found += [f"{name}: {text}" for text in ("too large for page", "Missing character") if text in whole]
    return found


def parted(pieces: dict[str, str]) -> str:
    return "\n".join(f"\\typeout{{PART {name} .}}\n{text}\n\\clearpage" for name, text in pieces.items())


def kept_results() -> dict:
    """Everything that the sample workspace has, by method: real names, captions and numbers."""
    found = {}
    for path in sorted((SAMPLE / "cache").glob("*.npz")):
        if not path.name.startswith("shared-"):
            result = load(path)
            found.setdefault(result.origin.method, result)
    return found


def tables_of(results: dict) -> dict[str, str]:
    return {
        f"{name}-{part}": export(result, "tex", part=part).decode()
        for name, result in results.items()
        for part in ("figure", "estimates")
    }


@needs_latex
def test_tables_of_every_kind_are_set_and_stay_on_the_page(tmp_path):
    said = latex(tmp_path, parted(tables_of(ordinary())))
    assert complaints(said) == []
    assert said.count("PART ") == 2 * len(ordinary())


@needs_latex
def test_tables_captions_methods_and_references_of_real_results_are_one_paper(tmp_path):
    results, workspace = kept_results(), Workspace.open(SAMPLE)
    assert len(results) > 10
    (tmp_path / "figure.pdf").write_bytes(export(ordinary()["curve"], "pdf", width="double"))
    pieces, keys = tables_of(results), set()
    for method, result in results.items():
        panels = [
            Ready(Panel(letter, {"method": method, "inputs": []}), letter, letter, result, {})
            for letter in "ab"
        ]
        paragraphs = methods_paragraphs(workspace, panels)
        keys |= set(cited(paragraphs))
        for width, shown in (("single", panels[:1]), ("double", panels)):
            basket = Basket(f"of {method} & 100 % of it_", (), sheet={"width": width})
            pieces[f"{method}-caption-{width}"] = captions_tex(basket, shown)
        pieces[f"{method}-methods"] = methods_tex(paragraphs)
    (tmp_path / "references.bib").write_text(bibtex(keys))
    body = parted(pieces) + "\n\\bibliographystyle{abbrv}\n\\bibliography{references}"
    latex(tmp_path, body)
    assert "Warning" not in set_by("bibtex", tmp_path, "paper")
    latex(tmp_path, body)
    said = latex(tmp_path, body)
    assert complaints(said) == []
    assert "undefined" not in said


@needs_latex
def test_whatever_names_hold_the_tables_are_set(tmp_path):
    assert latex(tmp_path, parted(tables_of(hostile())))


@needs_latex
@pytest.mark.parametrize("style", ["plain", "abbrv", "alpha", "unsrt"])
def test_every_paper_is_an_entry_that_bibtex_takes(tmp_path, style):
    (tmp_path / "references.bib").write_text(bibtex(entries()))
    body = f"\\nocite{{*}}\\bibliographystyle{{{style}}}\\bibliography{{references}}"
    latex(tmp_path, body)
    said = set_by("bibtex", tmp_path, "paper")
    assert "Warning" not in said
    assert "error" not in said
    latex(tmp_path, body)
    assert (tmp_path / "paper.bbl").read_text().count("\\bibitem") == len(entries())


MARKS = (r"a_b 5% x&y #1 $2 ^c ~d e\f {g} <h> |i|", "[j] *k* `l' m--n @o")


@needs_latex
def test_marks_are_printed_as_they_are(tmp_path):
    if not shutil.which("kpsewhich") or not shutil.which("pdftotext"):
        pytest.skip("kpsewhich or pdftotext is not installed")
    if not set_by("kpsewhich", tmp_path, "lmodern.sty", "article.cls").count("lmodern"):
        pytest.skip("LaTeX's package lmodern is not installed")
    rows = np.array([*MARKS, "Béreux Ångström ďź Ł ø ß", "αβ Δ 10⁻³ ≤ ∞ x₂"])
    text = export(table(3, columns={"name": rows, "n": np.arange(4)}, sort=""), "tex").decode()
    latex(tmp_path, text, HEAD + "\\usepackage[T1]{fontenc}\\usepackage{lmodern}\n")
    printed = set_by("pdftotext", tmp_path, "-layout", "paper.pdf", "-")
    for text in MARKS:
        assert text.replace("`", "‘").replace("'", "’") in re.sub(" +", " ", printed)
    assert "Béreux Ångström ďź Ł ø ß" in printed
    assert re.search(r"αβ ∆ 10−3 ≤ ∞ x2|αβ Δ 10−3 ≤ ∞ x2", re.sub(r"\s+", " ", printed)), printed


def test_letters_are_ascii_that_says_what_it_stands_for():
    assert latex_letters("plain {x} %") == "plain {x} %"
    assert latex_letters("Loïc Étienne") == r"Lo{\"{\i}}c {\'{E}}tienne"
    assert latex_letters("e\u0301") == latex_letters("é")
    assert latex_letters("漢") == r"\texttt{U+6F22}"
    assert latex_letters("10⁻³ ≤ α") == r"10$^{-}$$^{3}$ $\leq$ $\alpha$"
    every = "".join(map(chr, [*range(0x80, 0x3000), *range(0xFB00, 0xFB07), 0x1F600]))
    assert latex_letters(every).isascii()
