"""From files to points: read, cut into chunks, embedded, and shown in one step."""
