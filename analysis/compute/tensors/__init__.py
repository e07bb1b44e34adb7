"""Factors of arrays with three or more axes: CP and Tucker, the blocks they are fitted to, what they explain."""
