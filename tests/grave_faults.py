"""What axe-core says of a page in a real browser, as far as it is grave."""

from __future__ import annotations

GRAVE = ("serious", "critical")


def grave(page) -> list[str]:
    """What it calls serious or critical, one line each."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [f"{v['id']}: {node['html'][:200]} {node['failureSummary'][:200]}"
            for v in found if v["impact"] in GRAVE for node in v["nodes"]]  # fmt: skip
