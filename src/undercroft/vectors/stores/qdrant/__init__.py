"""Vectors in Qdrant: a server, its cloud, or its engine in this process."""
