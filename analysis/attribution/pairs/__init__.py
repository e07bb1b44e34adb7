"""Two samples: what makes them alike."""
