# Parley in a container: docker/compose.yaml runs it with MySQL. With nothing else it keeps an
# embedded database in the volume /data:
#
#     docker build --tag parley . && docker run --publish 8000:8000 --volume parley:/data parley

# What has to be compiled is compiled here; the compiler stays behind.
FROM python:3.11-slim AS build

# Without versions: the security fixes of Debian are wanted as they come.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev libmariadb-dev pkg-config \
    && rm -rf /var/lib/apt/lists/*

RUN python -m venv /venv
ENV PATH="/venv/bin:$PATH"

WORKDIR /build
COPY requirements.txt requirements-mysql.txt ./
RUN pip install --no-cache-dir --require-hashes \
    --requirement requirements.txt --requirement requirements-mysql.txt


FROM python:3.11-slim

# The library that the driver of MySQL is linked to, with what signs in to MySQL 8.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libmariadb3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin parley \
    && install --directory --owner parley --mode 0700 /data

COPY --from=build /venv /venv
WORKDIR /app
COPY manage.py ./
COPY docker/healthcheck.py docker/
COPY src src
RUN python -m compileall -q src

ENV PATH="/venv/bin:$PATH" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=8000 \
    PARLEY_DATA_DIR=/data

USER 10001
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "docker/healthcheck.py"]

CMD ["python", "manage.py", "serve"]
