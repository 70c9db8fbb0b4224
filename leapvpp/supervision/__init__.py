"""One command that runs everything: start, restart, stop, and never an orphan. Only `watch` knows Django."""
