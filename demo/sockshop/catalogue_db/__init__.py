"""The catalogue's database: a real MariaDB with the shop's schema and nine socks."""
