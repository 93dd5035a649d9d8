"""Decisions about an AIMArtifact. The rules are in docs/rules/artifact.md.

| Module | What it decides |
|---|---|
| `observed` | what a decision is based on, and whether the weights are complete |
| `plan` | the three stages in order, and the status |
| `size` | the size of the source: given, or determined by a Job |
| `claim` | the claim for the weights: created, expanded, refused |
| `download` | the download Job: created, retried, believed |
| `stages` | what the stages share: their result, and how a Job appears as components |
| `download_job` | the Jobs and the identity of the download |
| `usage` | who mounts the weights |
| `needs` | the live reads that a decision lacks |
"""
