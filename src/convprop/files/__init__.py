"""Files: written whole or not at all, and read so that none can do harm."""
