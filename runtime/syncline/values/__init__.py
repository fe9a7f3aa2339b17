"""What data is: the value model, its JSON forms, document ids and sizes (convex-protocol 2)."""
