"""The book's own tools; the text stands in `chapters/`."""
