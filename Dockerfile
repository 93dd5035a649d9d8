# One image for the operator and the download jobs (docs/architecture.md, "One image").
#
#   docker build --build-arg REVISION=$(git rev-parse HEAD) --tag REGISTRY/aimd:0.1.0 .
#
# `make image` runs this command with the container engine that it finds. Another base image needs Python 3.11 or newer with
# venv and pip. Pin it, too: --build-arg BASE=REGISTRY/python@sha256:…
ARG BASE=python:3.11.16-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

FROM ${BASE} AS build
WORKDIR /source
COPY requirements.lock ./
# Download all packages of the lock file and verify their hashes. The next step installs those that the image needs.
RUN pip download --no-cache-dir --require-hashes --only-binary :all: --requirement requirements.lock --dest /wheels
COPY pyproject.toml README.md LICENSE ./
COPY tools tools
COPY crds crds
COPY charts charts
COPY examples examples
COPY aimd aimd
RUN python -m venv --without-pip /opt/aimd \
 && pip --python /opt/aimd/bin/python install --no-cache-dir --no-index --find-links /wheels --no-compile ".[downloads,tracing]" \
 && cd /opt/aimd/lib/python*/site-packages \
 # Keep only the data of Amazon's object store and of the services that issue credentials for it.
 && find botocore/data -mindepth 1 -maxdepth 1 -type d ! -name s3 ! -name sts ! -name sso ! -name sso-oidc ! -name signin -exec rm -r {} + \
 # Extension modules with debug symbols, a hundred times the size of the Python modules that do the same.
 && rm -f box/*.so \
 && find . -type d -name tests -prune -exec rm -r {} + \
 && find . -type f \( -name "*.c" -o -name "*.h" -o -name "*.p[xy][dxi]" \) -delete \
 # Don't validate bytecode by modification time, because a copy of a layer can lose it.
 && python -m compileall -q --invalidation-mode unchecked-hash . \
 # The command that size-check jobs run.
 && printf '#!/bin/sh\nexec aimd check-size "$@"\n' > /check-size.sh \
 && chmod 755 /check-size.sh

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="aimd" \
      org.opencontainers.image.description="A Kubernetes operator that serves AI models on AMD GPUs, and its download jobs." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/aimd /opt/aimd
COPY --from=build /check-size.sh /check-size.sh
# Processes write only to /tmp and /cache, which are volumes, so the root file system can be read-only.
# The user needs no name: jobs run the same image as 1000:1000, which has no home directory.
ENV PATH=/opt/aimd/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 AIMD_COMMIT=${REVISION}
USER 65532:65532
WORKDIR /cache
ENTRYPOINT ["python", "-m", "aimd"]
