"""What heads of attention do, read a block of queries at a time, beside heads that know places only."""
