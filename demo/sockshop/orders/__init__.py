"""The orders: fetches what belongs to an order, has it paid and shipped, and remembers it."""
