"""The house keeps its rules: linter, import contracts, lazy imports, no pickle, Streamlit state in one file."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [p for folder in ("analysis", "dashboard") for p in (ROOT / folder).rglob("*.py")]


def run(*command: str) -> subprocess.CompletedProcess:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def test_linter():
    done = run(sys.executable, "-m", "ruff", "check", ".")
    assert done.returncode == 0, done.stdout + done.stderr


def test_import_contracts():
    code = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())"
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stdout + done.stderr


def test_import_analysis_needs_numpy_and_scipy_only():
    code = """
import sys
class Refuse:
    allowed = {"numpy", "scipy", "analysis"}
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in HEAVY:
            raise ImportError(f"{name} is not allowed here")
HEAVY = {"torch", "transformers", "datasets", "pandas", "pyarrow", "sklearn", "umap", "numba", "PIL",
         "streamlit", "plotly", "matplotlib", "soundfile", "safetensors", "tokenizers", "pynndescent", "openTSNE"}
sys.meta_path.insert(0, Refuse())
import analysis, analysis.workspace, analysis.pipeline, analysis.jobs.queue
from analysis import registry
assert registry.methods()
"""
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr


def test_what_a_page_waits_for_loads_no_slow_part_of_scipy():
    """Each of them takes a tenth to a whole second of every start; methods import them where they use them."""
    slow = ("stats", "optimize", "spatial", "sparse", "interpolate", "ndimage", "signal", "cluster")
    code = "import sys; from analysis import registry; registry.methods(); " + (
        f"found = [m for m in {slow} if 'scipy.' + m in sys.modules]; assert not found, found"
    )
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        (r"\bst\.(session_state|query_params)\b", {"dashboard/state.py"}),
        (r"^\s*(import pickle|from pickle)|pickle\.loads?\(|allow_pickle=True", set()),
        (r"torch\.load\((?!.*weights_only=True)", set()),
        (r"\bst\.cache_data\b", set()),
        (r"np\.random\.(seed|rand|randn|randint|normal|choice|shuffle|permutation)\(", set()),
    ],
)
def test_forbidden_words(pattern, allowed):
    found = []
    for path in SOURCES:
        name = path.relative_to(ROOT).as_posix()
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.search(pattern, line) and name not in allowed and not line.lstrip().startswith(("#", '"')):
                found.append(f"{name}:{number}: {line.strip()}")
    assert not found, "\n".join(found)


def test_no_file_is_named_utils():
    assert not [p for p in SOURCES if p.stem in ("utils", "util", "helpers", "misc", "common")]


def test_ci_runs_what_the_readme_says():
    readme = (ROOT / "README.md").read_text()
    block = readme.split("<!-- test command -->")[1].split("<!-- end -->")[0]
    assert "constraints.txt" in block
    assert "pytest" in block
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text()
    script = (ROOT / ".ci" / "run").read_text()
    assert "<!-- test command -->" in script  # it reads the command from there, and has none of its own
    assert "pip install" not in script


def test_what_draws_itself_again_has_a_container_of_its_own():
    """`jobs.looked_at_again` says why: without one the page can go blank."""
    found = [
        p.name for p in (ROOT / "dashboard").rglob("*.py") if "run_every=" in p.read_text(encoding="utf-8")
    ]
    assert found == ["jobs.py"]
