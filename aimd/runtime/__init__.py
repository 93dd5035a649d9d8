"""A controller runtime on kr8s: client, informers, work queues, controllers, and a manager that runs them.

It knows nothing of AIM and imports nothing of `aimd` outside itself. Names are those of client-go and
controller-runtime. The path of a change:

    API server → client.watch → reflector → store → controller (handlers) → workqueue → reconciler
    reconciler → apply / status / events / finalizers → client → API server (and the response → store)
"""
