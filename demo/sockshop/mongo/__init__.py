"""MongoDB's wire: documents as BSON, messages, and a client. The services and the document server share it."""
