"""The payment service: says yes to small amounts."""
