# One image for every role: the command line says which one runs.
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim
FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY services services
RUN python3 -m venv /opt/smsbridge \
    && /opt/smsbridge/bin/pip install --no-cache-dir --require-hashes -r requirements.lock \
    && /opt/smsbridge/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM ${PYTHON_IMAGE}
COPY --from=build /opt/smsbridge /opt/smsbridge
ENV PATH=/opt/smsbridge/bin:$PATH PYTHONUNBUFFERED=1
USER 10001:10001
ENTRYPOINT ["smsbridge"]
