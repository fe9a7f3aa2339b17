"""Reading as data: index ranges and pagination cursors."""
