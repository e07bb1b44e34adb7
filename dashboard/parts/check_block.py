"""The known-answer check of a method, run on the user's own machine."""

from __future__ import annotations

import streamlit as st

from analysis.spec import Method
from dashboard import allowed, errors, jobs, table_cells

RELATIONS = {"within": "±", "at least": "at least", "at most": "at most"}


def draw(method: Method) -> None:
    """A button that runs the check, and the outcome of the last time it ran."""
    st.caption("Runs this method on made-up data whose answer is known, and compares.")
    job = jobs.find("check", {"method": method.id})
    if st.button(
        "Check this method", key=f"check:{method.id}", icon=":material/fact_check:", **allowed.to("editor")
    ):
        jobs.start("check", {"method": method.id}, f"Check of {method.title}", patience=1.0)
        job = jobs.find("check", {"method": method.id})
    if job is None:
        return
    now = jobs.watch(job.id, key="check")
    if now.state == "done" and isinstance(now.result, dict):
        outcome(now.result)


def outcome(report: dict) -> None:
    """Expected, got and tolerance, line by line."""
    if report.get("passed"):
        st.success(
            f"Passed on this machine ({report.get('seconds', 0):.2g} s).", icon=":material/check_circle:"
        )
    else:
        errors.notice(
            {"found": report.get("error") or "The check failed: the numbers below are not what is known to be right",
             "remedy": "Do not trust this method on this machine until that is explained"}
        )  # fmt: skip
    lines = report.get("lines") or []
    if lines:
        st.dataframe(
            table_cells.safe([_row(line) for line in lines]),
            hide_index=True,
            key=f"lines:{report.get('method')}",
        )


def _row(line: dict) -> dict:
    return {
        "": "✓" if line["passed"] else "✗",
        "Known answer": line["name"],
        "Expected": f"{line['expected']:.6g}",
        "Got": f"{line['got']:.6g}",
        "Tolerance": f"{RELATIONS.get(line['relation'], line['relation'])} {line['tolerance']:.3g}",
    }
