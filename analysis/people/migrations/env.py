"""What Alembic runs: on the connection that `migrating.upgrade` hands over, in its transaction."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], version_table="loupe_schema",
                  transactional_ddl=True, transaction_per_migration=False)  # fmt: skip
context.run_migrations()
