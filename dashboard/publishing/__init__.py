"""A workspace as a read-only site of plain files: chosen by `plan`, made by `bundle`, drawn in `browser/`."""
