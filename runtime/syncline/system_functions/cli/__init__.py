"""What the official command line asks a deployment; names and shapes are in convex-protocol 7.2."""
