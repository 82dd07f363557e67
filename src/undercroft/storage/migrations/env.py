"""What Alembic runs: migrations on the connection that storage/migrate.py passes in, or as text for `--sql`."""

from alembic import context

connection = context.config.attributes.get("connection")
if connection is None:
    context.configure(dialect_name=context.config.attributes["dialect"], literal_binds=True, transactional_ddl=True)
else:
    # SQLite alters by rebuilding the table (batch); its DDL is transactional, which Alembic does not assume.
    context.configure(connection=connection, render_as_batch=True, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
    if connection is not None and connection.dialect.name == "sqlite":
        # Foreign keys are off meanwhile (engines/sqlite.py), so their promise is checked before the commit.
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
        if broken:
            raise RuntimeError(f"The migration would leave {len(broken)} rows that point to nothing.")
