"""The ten kinds of `aim.eai.amd.com/v1alpha1`: pydantic models that read them, and the CRDs rendered from the models.

There is one module per kind. `shared` holds structures that several kinds use, `core` those of Kubernetes, `schema` the
annotations that give a field its OpenAPI keywords, `kinds` the list of kinds, `crd` the renderer.
"""
