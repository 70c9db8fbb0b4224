"""The pages. A view reads once, picks a template, and writes only on POST."""
