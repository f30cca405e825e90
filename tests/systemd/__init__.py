"""By hand, not in CI: the service in a real systemd."""
