"""What has an event loop: nothing of the core imports it."""
