"""From the start command to the first picture, against an empty two-page Streamlit app on the same machine.

    python benchmarks/start_up.py [--runs 5]

Both are started as processes and opened in the same browser, in turn. The empty app counts as there when its
title is; Feature Loupe when the map's points are drawn. Limit: 2.5 times. Both find their modules compiled, as after
any start but the first.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from loopback import CHROMIUM, FLAGS, free_port, stop, wait_for

ROOT = Path(__file__).parents[1]
EMPTY = """
import streamlit as st
def one(): st.title("first page")
def two(): st.title("second page")
st.navigation([st.Page(one), st.Page(two)]).run()
"""


def main() -> None:
    """Run both in turn and print medians and the ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        script = Path(folder) / "empty.py"
        script.write_text(EMPTY)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        apps = {
            "empty app": (lambda port: empty_command(script, port), "h1"),
            "Feature Loupe": (loupe_command, "[data-drawn]:not([data-drawn='0'])"),
        }
        seconds: dict[str, list[float]] = {name: [] for name in apps}
        for run in range(runs + 1):
            for name, (command, marker) in apps.items():
                taken = first_picture(browser, command(free_port()), marker)
                if run:  # the first round warms the disk cache for both
                    seconds[name].append(taken)
        browser.close()
    report(seconds)


def report(seconds: dict[str, list[float]]) -> None:
    print(f"{'':<16}{'median s':>10}{'min':>8}{'max':>8}")
    for name, values in seconds.items():
        print(f"{name:<16}{statistics.median(values):>10.2f}{min(values):>8.2f}{max(values):>8.2f}")
    pairs = [b / a for a, b in zip(*seconds.values(), strict=True)]
    print(
        f"ratio, pair by pair: median {statistics.median(pairs):.2f} ({min(pairs):.2f} to {max(pairs):.2f}), limit 2.5"
    )


def empty_command(script: Path, port: int) -> list[str]:
    options = ["--server.headless", "true", "--server.address", "127.0.0.1", "--server.port", str(port),
               "--browser.gatherUsageStats", "false"]  # fmt: skip
    return [sys.executable, "-m", "streamlit", "run", str(script), *options]


def loupe_command(port: int) -> list[str]:
    return [sys.executable, "-m", "dashboard.cli", "--no-browser", "--port", str(port)]


def first_picture(browser, command: list[str], marker: str) -> float:
    """Seconds from starting the process to the marker being on the page."""
    port = int(command[command.index("--server.port" if "--server.port" in command else "--port") + 1])
    started = time.perf_counter()
    compiled = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=compiled, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )  # fmt: skip
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    try:
        page = context.new_page()
        wait_for(port, process)
        page.goto(f"http://127.0.0.1:{port}")
        page.wait_for_selector(marker, timeout=60000, state="attached")
        return time.perf_counter() - started
    finally:
        context.close()
        stop(process)


if __name__ == "__main__":
    main()
