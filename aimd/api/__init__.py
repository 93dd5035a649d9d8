"""The ten kinds of `aim.eai.amd.com/v1alpha1` as models that read, and the CRDs rendered from them.

One module per kind; `shared` holds structures that several kinds use, `core` those of Kubernetes, `schema` how a field
says what the CRD must say about it, `kinds` the list of kinds, `crd` the renderer.
"""
