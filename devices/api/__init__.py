"""The REST API's resources of this app."""
