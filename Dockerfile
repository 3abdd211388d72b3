FROM python:3.12-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev libnghttp2-dev libdeflate-dev libisal-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml setup.py MANIFEST.in README.md LICENSE ./
COPY native native
COPY sidecar sidecar
RUN python -m venv /opt/spangate \
    && /opt/spangate/bin/pip install --no-cache-dir --upgrade pip \
    && /opt/spangate/bin/pip install --no-cache-dir .

FROM python:3.12-slim-bookworm
LABEL org.opencontainers.image.title="Spangate" \
      org.opencontainers.image.source="https://github.com/spangate/spangate" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN apt-get update \
    && apt-get install -y --no-install-recommends libnghttp2-14 libdeflate0 libisal2 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin spangate \
    && install --directory --owner=10001 --mode=0700 /var/lib/spangate
COPY --from=build /opt/spangate /opt/spangate
ENV PATH=/opt/spangate/bin:$PATH PYTHONUNBUFFERED=1 XDG_STATE_HOME=/var/lib
USER 10001
EXPOSE 4317
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:13133/healthz', timeout=2)"]
ENTRYPOINT ["spangate"]
CMD ["run", "--listen", "0.0.0.0:4317"]
