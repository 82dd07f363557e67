"""Who keeps blobs."""
