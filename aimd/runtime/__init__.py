"""A controller runtime on kr8s: client, informers, work queues, controllers, a manager that runs them.

It knows nothing of AIM and imports nothing of `aimd` outside itself. Names follow client-go and
controller-runtime, so that an engineer who knows one knows the other. The road of one change:

    API server → client.watch → reflector → store → controller (map to keys) → workqueue → reconciler
    reconciler → apply / status / events / finalizers → client → API server (and the response → store)
"""
