"""The keys and certificates of workloads: made here, signed by istiod, given to proxies by SDS on unix sockets.

`sessions` and `secrets` are pure: what a proxy asks for and is sent. `identity` keeps one workload's certificate fresh,
`authority` asks istiod, `agent` holds all workloads, `control` is told of them and `client` tells it, with the words of
`protocol`.
"""
