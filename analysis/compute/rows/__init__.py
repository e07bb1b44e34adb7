"""Reading taps as rows: which rows and samples, matched how, with which classes and factors."""
