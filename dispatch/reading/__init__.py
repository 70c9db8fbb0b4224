"""What pages show: one module per page, read in a constant number of queries, returned as frozen values."""
