"""The ground floor: errors, randomness, checks, numerics, root finding and outcomes. It knows torch only."""
