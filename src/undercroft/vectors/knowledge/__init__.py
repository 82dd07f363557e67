"""OpenAI's vector stores: files that are searched together, each store a namespace of a collection."""
