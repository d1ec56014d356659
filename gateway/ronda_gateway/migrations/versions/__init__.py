"""One file a migration, oldest first by number; a published one is never edited."""
