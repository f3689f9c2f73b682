FROM python:3.11-slim AS build
WORKDIR /src
COPY requirements/build.txt requirements/runtime.txt requirements/
RUN python -m venv /opt/brh \
    && /opt/brh/bin/pip install --no-cache-dir --require-hashes -r requirements/runtime.txt \
    && python -m pip install --no-cache-dir --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY bridge bridge
COPY tables tables
COPY streams streams
# The backend is installed above, by hash: nothing is fetched here.
RUN python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --no-index --wheel-dir /dist . \
    && /opt/brh/bin/pip install --no-cache-dir --no-deps --no-index /dist/*.whl

# No healthcheck: each kind of process answers at another port, so they stand with the services in docker-compose.yml.
FROM python:3.11-slim
LABEL org.opencontainers.image.title="BigResultHandler" \
      org.opencontainers.image.description="Assembles big results from RabbitMQ in Azure Blob Storage, with Faust and Kafka" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10001 --home-dir /var/lib/brh --create-home brh
COPY --from=build /opt/brh /opt/brh
ENV PATH=/opt/brh/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    BRH_DATA_DIR=/var/lib/brh
USER 10001
WORKDIR /var/lib/brh
# Last, because a new revision builds anew what comes behind it: --build-arg REVISION=$(git rev-parse HEAD)
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
CMD ["brh", "--help"]
