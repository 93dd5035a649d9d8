# One image for the operator and for the download jobs (docs/architecture.md, "One image").
#
#   docker build --build-arg VERSION=0.1.0 --build-arg REVISION=$(git rev-parse HEAD) --tag REGISTRY/aimd:0.1.0 .
#
# Where a base has to be pinned, give it by digest: --build-arg BASE=python@sha256:…
ARG PYTHON_VERSION=3.11
ARG BASE=python:${PYTHON_VERSION}-slim

FROM ${BASE} AS build
WORKDIR /source
COPY requirements.lock ./
# Everything the lock names, verified by its hashes; the next step takes from it what the image needs.
RUN pip download --no-cache-dir --require-hashes --only-binary :all: --requirement requirements.lock --dest /wheels
COPY pyproject.toml README.md LICENSE ./
COPY tools tools
COPY crds crds
COPY charts charts
COPY examples examples
COPY aimd aimd
RUN python -m venv /opt/aimd \
 && /opt/aimd/bin/pip install --no-cache-dir --no-index --find-links /wheels --no-compile ".[downloads,tracing]" \
 && /opt/aimd/bin/python -m compileall -q /opt/aimd/lib \
 # The command that size-check jobs name.
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
# Nothing is written but /tmp and /cache, which are volumes: the root file system can be read-only.
# No user but the numeric one has to exist: jobs run the same image as 1000:1000, which owns no home.
ENV PATH=/opt/aimd/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 AIMD_COMMIT=${REVISION}
USER 65532:65532
WORKDIR /cache
ENTRYPOINT ["python", "-m", "aimd"]
