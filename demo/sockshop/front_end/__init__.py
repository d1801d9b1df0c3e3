"""The front-end: the shop's pages, and the API that they call, which passes everything on to the services behind it."""
