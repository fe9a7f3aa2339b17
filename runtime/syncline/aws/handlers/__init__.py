"""What Lambda calls: one module a function, each thin; the work is done by drivers and adapters."""
