"""The catalogue service: socks, tags and pictures, kept in a MySQL database."""
