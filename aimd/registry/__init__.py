"""Read-only access to image registries: what is in images, lists of repositories and tags.

Imports httpx and anyio, and nothing else of aimd.

    reference, credentials, failures (values)      an image, credentials for it, why a request failed
    client → cache → images, listing               one call with its deadline; its result is a value
    profile_reader → layers, profile_tree          which layers have profile files; the files after all layers
    unpack, tar_archive                            what is in a layer, within limits
    contents, single_flight                        what was read, by digest; one call for all who ask
    access → tokens → transport → gate             choice of credentials; login; one request; limits per host

aimd has its own client, because an operator contacts image registries that tenants have named, and each of these could
block it. The OCI clients for Python (oras, python-dxf, docker-registry-client-async, crpy) block, or have no deadline
for a whole exchange (at most one that restarts with each piece that arrives), keep in memory whatever the registry
sends, and let their HTTP library decide where credentials go after a redirect.
"""
