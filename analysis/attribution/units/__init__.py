"""Many samples: what one number of the answer owes to each unit, input column or feature, and which act together."""
