"""bijections."""
