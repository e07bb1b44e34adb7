"""Sets of frames, views and instances: how their tokens read each other."""
