"""PRAGMA user_version 2: new selections have packed ids; those of older files stayed JSON, so nothing moves here."""

revision, down_revision = "0002", "0001"


def upgrade() -> None:
    """The tables are the same."""
