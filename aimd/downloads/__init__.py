"""Download weights: the code of the size-check and download jobs, `aimd check-size` and `aimd download`.

Of aimd it imports only `aimd.api.source_uri`. `run` is one job with its attempts and its exit code; `listing` gets the
list of files from `hub` or `object_store`; `fetch` downloads those that are missing through `wire` or `xet`; `partial`
and `tree` keep bytes and files on the volume; `progress` counts bytes; `artifact_status` reports them to the artifact.
"""
