"""Stand-in for AIM images."""
