# aftershock: the service and its command line. Build from the repository's root.
# BASE_IMAGE may be any Debian-like image with Python 3.11 to 3.13 and its venv module.
ARG BASE_IMAGE=python:3.12-slim-bookworm
FROM ${BASE_IMAGE} AS build
RUN python3 -m venv /opt/uv && /opt/uv/bin/pip install --no-cache-dir --disable-pip-version-check uv==0.13.8
WORKDIR /src
# The environment first: it is large and changes seldom.
COPY pyproject.toml uv.lock README.md LICENSE ./
ENV UV_PROJECT_ENVIRONMENT=/opt/aftershock UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never
RUN /opt/uv/bin/uv sync --locked --no-dev --no-install-project
COPY probes probes
COPY faults faults
COPY monitor monitor
COPY dashboards dashboards
RUN /opt/uv/bin/uv sync --locked --no-dev --no-editable

FROM ${BASE_IMAGE}
COPY --from=build /opt/aftershock /opt/aftershock
ENV PATH=/opt/aftershock/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
# A number, so that runAsNonRoot can be checked. Writes only below /data and /tmp.
USER 65532:65532
WORKDIR /data
ENTRYPOINT ["aftershock"]
