"""Who is told of events: a file for each kind (events/sink.py says what is needed)."""
