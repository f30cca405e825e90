"""What the store and its outbox promise, shown with real components; see README.md here."""
