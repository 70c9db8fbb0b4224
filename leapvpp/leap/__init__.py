"""The only code that speaks Leap's HTTP API."""
