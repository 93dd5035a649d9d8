"""Decisions about AIMModel and AIMClusterModel. The rules are in docs/rules/model.md."""
