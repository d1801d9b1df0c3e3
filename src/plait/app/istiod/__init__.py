"""istiod: `python -m plait.app.istiod` is the builder and its HTTP port; it runs delivery as a child (`… delivery`).

The builder follows the Kubernetes API, makes configuration and keeps the mesh's certificate authority; delivery serves
proxies and signs for them. Either may die: delivery is started again and told everything anew; a builder that dies
takes delivery along and the container is restarted. Proxies keep what they have, reconnect with the versions they hold,
and are sent only what differs.
"""
