"""What networks answer: probabilities, calibration, disagreement, early exits."""
