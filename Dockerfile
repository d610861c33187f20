# One image for every role and the operator: the command line says which one runs.
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim

FROM ${PYTHON_IMAGE} AS wheel
WORKDIR /src
COPY requirements.lock ./
RUN python3 -m venv /opt/smsbridge \
    && /opt/smsbridge/bin/pip install --no-cache-dir --no-compile --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY services services
COPY operator operator
# Installed from a wheel: nothing that runs points back at the sources. pip and setuptools have then done their work.
# Bytecode is compiled here, since nobody may write it later; it is checked by content, dates of files differ.
RUN /opt/smsbridge/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /tmp/wheel . \
    && /opt/smsbridge/bin/pip install --no-cache-dir --no-compile --no-deps /tmp/wheel/*.whl \
    && /opt/smsbridge/bin/pip uninstall --yes --quiet setuptools pip \
    && /opt/smsbridge/bin/python -m compileall -q -j 0 --invalidation-mode checked-hash /opt/smsbridge/lib

FROM ${PYTHON_IMAGE}
COPY --from=wheel /opt/smsbridge /opt/smsbridge
# Some bases carry programs that give their caller root's rights; nothing here needs one.
RUN find / -xdev -type f -perm /6000 -exec chmod a-s {} +
# For development in a cluster alone (skaffold.yaml): a directory whose sources the commands run, and follow.
ARG LIVE_SOURCES=
RUN test -z "$LIVE_SOURCES" || for command in smsbridge smsbridge-operator; do \
        mv /opt/smsbridge/bin/$command /opt/smsbridge/bin/$command-once \
        && printf '#!/bin/sh\ntest "$1" != sandbox || exec %s "$@"\nexec python3 -m smsbridge.runtime.live %s python3 %s "$@"\n' \
            "$command-once" "$LIVE_SOURCES" "/opt/smsbridge/bin/$command-once" > /opt/smsbridge/bin/$command \
        && chmod 755 /opt/smsbridge/bin/$command; \
    done
ENV PATH=/opt/smsbridge/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
ENTRYPOINT ["smsbridge"]
