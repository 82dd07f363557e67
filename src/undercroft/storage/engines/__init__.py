"""Who does it: SQLite and PostgreSQL."""
