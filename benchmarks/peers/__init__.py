"""Models of others that the book is measured against."""
