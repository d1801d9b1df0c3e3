"""The queue-master: takes shipments off the queue."""
