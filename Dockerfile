# The serving side only: no TensorFlow, torch or converter sources' frameworks.
#   docker build -t labelvino .
#   docker run -p 9090:9090 -v ./models:/models:ro -e LABELVINO_MODEL=/models/model.xml labelvino
FROM python:3.11-slim AS build
COPY requirements.txt /src/
RUN python -m venv /opt/labelvino && /opt/labelvino/bin/pip install --no-cache-dir --require-hashes -r /src/requirements.txt
COPY pyproject.toml README.md /src/
COPY backend /src/backend
COPY converter /src/converter
RUN /opt/labelvino/bin/pip install --no-cache-dir --no-deps /src

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /nonexistent labelvino
COPY --from=build /opt/labelvino /opt/labelvino
ENV PATH=/opt/labelvino/bin:$PATH PYTHONDONTWRITEBYTECODE=1 LABELVINO_HOST=0.0.0.0
USER labelvino
EXPOSE 9090
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
  CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ.get(\"LABELVINO_PORT\", os.environ.get(\"PORT\", 9090))}/health', timeout=2)"]
ENTRYPOINT ["labelvino"]
CMD ["serve"]
