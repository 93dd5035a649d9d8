"""Decide what an AIMService becomes, without I/O. The rules are in docs/rules/service.md.

| Module | Decides |
|---|---|
| `plan` | what must exist and when, what must not, and how each part fares |
| `observed`, `needs` | what one decision is based on, and the live reads that it lacks |
| `model_reference`, `model_identity`, `model_creation` | which model, which models are the same, and new models |
| `template_reference`, `template_selection`, `derived_template` | which template, the automatic choice, and overrides |
| `caching` | which template cache, and new ones |
| `child_names` | the names of everything that a service creates |
| `inference_service` | the InferenceService |
| `container_environment`, `resources`, `volumes` | environment, resources and volumes of its container |
| `profile_choice` | which profile of its image the container takes |
| `profile_config_map` | the ConfigMap of a custom profile |
| `scaling`, `autoscaler` | the number of replicas, and the health of the autoscaler |
| `routing`, `route_paths`, `routing_policy` | the HTTPRoute |
| `service_health` | the health of the InferenceService and its pods |
| `ignored_fields` | which fields have no effect |
| `deletion` | what is deleted with a service |
"""
