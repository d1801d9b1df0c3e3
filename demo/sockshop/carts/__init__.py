"""The carts: what each customer, or anonymous web session, is about to buy."""
