"""What an AIMService becomes, decided without I/O; one module per chapter of the service specification.

| Module | Chapter of service.md |
|---|---|
| `observed` | §3 what one decision is based on |
| `model_reference` | §5 which model |
| `template_reference`, `template_selection` | §6 which template |
| `names` | §8 names of everything a service makes |
| `caching` | §9 which template cache |
| `plan` | §10 order and gates |
| `inference_service`, `container_environment`, `resources`, `volumes` | §11 the InferenceService |
| `custom_profile` | §12 |
| `scaling` | §13 replicas, autoscaler |
| `routing`, `route_path` | §14 |
| `service_health` | §15, §16 health of what runs |
| `deletion` | §19 |
"""
