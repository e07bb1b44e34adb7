"""Groups of samples against each other, unit by unit and as clouds."""
