"""Metrics about the fleet: what an administrator scrapes about all objects of a cluster.

| Module | Metrics |
|---|---|
| `state` | the collector of the gauges below, computed from the caches at each scrape; `aimd_build_info` |
| `cluster` | what the cluster provides: APIs, GPUs |
| `statuses` | status words and conditions of objects of all kinds |
| `services` | services: status, GPUs, replicas |
| `weights` | artifacts and their volumes |
| `discovery` | discovery jobs and their slots |
| `model_sources`, `runtime_configs` | catalogs of images, users of runtime configs |
| `history` | how long starts and downloads took |
| `counts` | counters: template selections, download attempts, discoveries |
| `registries` | requests to image registries |

`figures` has the pure part: objects go in, numbers come out. `gauges` and `fleet` are what the gauges are made of.
"""
