"""A small message broker that speaks AMQP 0-9-1. Its queues live in memory, as the shop's own does in the original."""
