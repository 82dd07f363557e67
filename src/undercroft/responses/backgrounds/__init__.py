"""Who runs background responses: a file for each way (responses/background.py says what is needed)."""
