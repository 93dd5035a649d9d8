"""Decisions about AIMServiceTemplate and AIMClusterServiceTemplate. The rules are in docs/rules/template.md."""
