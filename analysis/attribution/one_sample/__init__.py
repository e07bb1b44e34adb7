"""One sample's number as a sum of parts: the question, the players at a site, numbers without classes, the parts."""
