"""The parts of the report: each module writes one section, from the answer alone."""
