"""The shipping service: puts every shipment on the queue."""
