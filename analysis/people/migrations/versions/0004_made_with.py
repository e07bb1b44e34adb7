"""With what is written on a figure, which versions made it then. What figures are called since is no matter of the
tables: `figure_moves` gives those of before their new names."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0004", "0003"


def upgrade() -> None:
    op.add_column("loupe_changes", sa.Column("made_with", sa.Text, nullable=False, server_default=""))
