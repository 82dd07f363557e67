"""Vectors in PostgreSQL, by its extension pgvector."""
