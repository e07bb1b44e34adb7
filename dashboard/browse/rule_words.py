"""What each rule that takes tokens away does, in one sentence for who has not read its paper."""

from __future__ import annotations

from analysis.tokens.rule import rules


def glossary() -> str:
    """Markdown: a line for each rule, baselines last."""
    return "\n".join(f"- **{one.title}**: {one.says}" for one in rules().values())
