"""Decisions about AIMClusterModelSource. The rules are in docs/rules/model-source.md."""
