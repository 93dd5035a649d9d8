"""Decisions about AIMTemplateCache. The rules are in docs/rules/template-cache.md."""
