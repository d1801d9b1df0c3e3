"""One Envoy: its process (`envoy`), its admin interface (`admin`), and its /config_dump in rows for people."""
