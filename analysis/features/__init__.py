"""Feature sets: directions and detectors of a tap, made, imported, kept and applied."""
