"""What the README tells people to type works."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_python_lines_run():
    code = re.search(r"```python\n(import analysis.*?)```", README, re.DOTALL).group(1)
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "null:" in done.stdout


def test_the_lines_about_selections_run():
    import analysis

    workspace = analysis.open_workspace(ROOT / "sample_data" / "workspace")
    code = re.search(r"```python\n(unsure = .*?)```", README, re.DOTALL).group(1)
    exec(compile(code, "README.md", "exec"), names := {"workspace": workspace})
    assert 0 < len(names["unsure"] & names["wrong"]) <= len(names["wrong"]) < len(names["unsure"])


def test_every_command_and_option_that_is_named_exists():
    from dashboard.cli import build_parser

    commands = set(re.findall(r"`loupe (\w+)", README))
    known = next(
        a for a in build_parser()._actions if hasattr(a, "choices") and a.choices and "record" in a.choices
    )
    assert {"record", "info"} <= commands <= set(known.choices)
    options = set(_options(build_parser()))
    named = set(re.findall(r"(--[a-z][a-z-]*)", re.sub(r"pip install.*", "", README)))
    assert named
    assert named <= options


def _options(parser):
    """Those of a command and of its sub-commands."""
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action.choices, dict):
            for inner in action.choices.values():
                if hasattr(inner, "complete"):  # its last options come when it is used
                    inner.complete()
                yield from _options(inner)


def test_quoted_paths_exist():
    paths = re.findall(r"`((?:docs|benchmarks|sample_data|tests)/[\w./-]+)`", README)
    assert paths
    for path in paths:
        assert (ROOT / path).exists(), path
