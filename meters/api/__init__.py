"""The REST API's resources of this app; what all resources share lives here, at the bottom layer."""
