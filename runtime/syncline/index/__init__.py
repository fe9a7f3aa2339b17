"""Order on data: key encoding, key ranges, index definitions."""
