"""OCI registries, read only: what an image says about itself, and which repositories and tags there are.

Stands alone: httpx and anyio, and nothing else of aimd; no Kubernetes client either. The way through it:

    reference, credentials, failures (values)      what is asked for, as whom, and how it can fail
    client → cache → images, listing               one question, its deadline, its answer as a value
    access → tokens → transport → gate             credentials in turn; logging in; one request; who may ask now

The client is our own. The OCI clients for Python (oras, python-dxf, docker-registry-client-async, crpy) block, or have
no deadline over a whole exchange (where there is one, it starts anew with each piece that arrives), keep in memory
whatever the registry sends, and leave it to their HTTP library where credentials go after a redirect. An operator asks
registries that a tenant has named, so each of these is a way to bring it to a halt.
"""
