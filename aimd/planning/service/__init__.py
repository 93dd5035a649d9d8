"""Decide what an AIMService becomes, without I/O. The rules are in docs/rules/service.md.

| Module | Decides |
|---|---|
| `observed` | what one decision is based on |
| `model_reference`, `model_identity`, `model_creation` | which model |
| `template_reference`, `template_selection`, `derived_template` | which template |
| `child_names` | names of everything a service makes |
| `caching` | which template cache |
| `plan` | order and gates |
| `inference_service`, `container_environment`, `resources`, `volumes` | the InferenceService |
| `profile_config_map` | the ConfigMap of a custom profile |
| `scaling`, `autoscaler` | replicas, and how the autoscaler fares |
| `routing`, `durations` | the HTTPRoute |
| `service_health`, `ignored_fields` | health of what runs, and fields without effect |
| `deletion` | what is deleted with a service |
"""
