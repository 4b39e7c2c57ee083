"""Trading on history: the live decisions over recorded prices, at once and without a server."""
