"""The parts of an end-to-end world: Postern itself, what stands behind it, what it asks, and who talks to it."""
