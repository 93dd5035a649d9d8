"""One controller per kind; `relations` says which objects concern which, `pipeline` is the reconcile of all kinds.

Controllers read the cache and act; what an object should become is decided in `aimd.planning`.
"""
