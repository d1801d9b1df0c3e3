"""The verbs about objects: apply, create, replace, delete, get, describe."""
