"""AMQP 0-9-1: frames, methods, and a client. Shipping, queue-master and the broker share it."""
