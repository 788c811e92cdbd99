"""Running a network over a picture in tiles: geometry, attention vectors, memory."""
