# The serving side only: no TensorFlow, torch or other training framework. docs/deploying.md
#   docker build -t labelvino .
#   docker run --rm -p 9090:9090 -v ./models:/app/models:ro labelvino
# For Intel GPUs: docker build --target gpu -t labelvino:gpu .
FROM python:3.11-slim-bookworm AS build
COPY requirements.txt /src/
RUN python -m venv /opt/labelvino
RUN --mount=type=cache,target=/root/.cache/pip /opt/labelvino/bin/pip install --require-hashes -r /src/requirements.txt
COPY pyproject.toml README.md /src/
COPY backend /src/backend
COPY converter /src/converter
RUN --mount=type=cache,target=/root/.cache/pip /opt/labelvino/bin/pip install --no-deps /src

FROM python:3.11-slim-bookworm AS serving
RUN useradd --system --uid 10001 --user-group --home-dir /nonexistent labelvino
RUN install -d /app/models && install -d -o labelvino -g labelvino /data
COPY --from=build /opt/labelvino /opt/labelvino
ENV PATH=/opt/labelvino/bin:$PATH PYTHONDONTWRITEBYTECODE=1
ENV LABELVINO_HOST=0.0.0.0 LABELVINO_MODEL_DIR=/app/models
USER labelvino
EXPOSE 9090
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
  CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ.get(\"LABELVINO_PORT\") or os.environ.get(\"PORT\") or 9090}/health', timeout=2)"]
ENTRYPOINT ["labelvino"]
CMD ["serve"]

# Debian's driver, for GPUs that it knows. The group that may open /dev/dri is given at `docker run`.
FROM serving AS gpu
USER root
RUN apt-get update && apt-get install --yes --no-install-recommends ocl-icd-libopencl1 intel-opencl-icd && rm -rf /var/lib/apt/lists/*
USER labelvino

# The last stage is what `docker build` makes without --target.
FROM serving
