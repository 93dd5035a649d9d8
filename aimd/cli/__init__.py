"""The `aimd` command: the operator, the downloader, the sandbox, and what renders CRDs and reference pages."""
