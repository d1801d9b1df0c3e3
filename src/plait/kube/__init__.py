"""Kubernetes API client: transport only, no meaning of any kind.

It speaks to the machine's API server and to a real cluster alike. `client.Client` makes single requests,
`reflect.reflect` follows whole kinds, `recorder.Recorder` writes Events.
"""
