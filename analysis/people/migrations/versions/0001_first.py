"""The first people.db (PRAGMA user_version 1): selections with their ids as JSON, stars, notes. SQLite only."""

from alembic import op

revision, down_revision = "0001", None

TABLES = (
    "CREATE TABLE selections (name TEXT PRIMARY KEY, of TEXT NOT NULL, store TEXT NOT NULL, tap TEXT NOT NULL, "
    "ids TEXT NOT NULL, note TEXT NOT NULL, author TEXT NOT NULL, made TEXT NOT NULL)",
    "CREATE TABLE stars (store TEXT NOT NULL, tap TEXT NOT NULL, unit INTEGER NOT NULL, author TEXT NOT NULL, "
    "made TEXT NOT NULL, PRIMARY KEY (store, tap, unit))",
    "CREATE TABLE notes (store TEXT NOT NULL, tap TEXT NOT NULL, unit INTEGER NOT NULL, text TEXT NOT NULL, "
    "author TEXT NOT NULL, made TEXT NOT NULL, PRIMARY KEY (store, tap, unit))",
)


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for table in TABLES:
            op.execute(table)
