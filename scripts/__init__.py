"""Programs that set up a checkout; never imported by the package."""
