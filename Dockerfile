# SPDX-License-Identifier: MIT
# relay as an image: built and run on Debian 12, as uid 1000, on port 3000. State goes to /data.
#
#   docker build -t relay .
#   docker run -p 3000:3000 -v relay-data:/data -e RELAY_KEY=cr_… -e ANTHROPIC_API_KEY=sk-ant-… relay
#
# Another relay.yaml: -v "$PWD/relay.yaml:/etc/relay/relay.yaml:ro"

FROM debian:12-slim AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
COPY tests/support/packages.sh /tmp/packages.sh
RUN . /tmp/packages.sh && install_packages "${build_packages[@]}" && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY CMakeLists.txt CMakePresets.json ./
COPY core core
COPY upstreams upstreams
COPY filters filters
COPY admin admin
RUN cmake --preset release -DRELAY_TESTS=OFF && \
    cmake --build --preset release --target relay && \
    strip --strip-debug -o /usr/local/bin/relay build/release/relay

FROM debian:12-slim
RUN apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      ca-certificates tzdata \
      libcctz2 libfmt9 libmimalloc2.0 libnghttp2-14 libprometheus-cpp-core1.0 libsimdjson14 libspdlog1.10 \
      libsqlite3-0 libhiredis0.14 libssl3 libuv1 libyaml-cpp0.7 && \
    rm -rf /var/lib/apt/lists/* && \
    useradd --uid 1000 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin relay && \
    mkdir /data && chown 1000:1000 /data && chmod 700 /data
COPY --from=build /usr/local/bin/relay /usr/local/bin/relay
COPY relay.yaml /etc/relay/relay.yaml
USER 1000
WORKDIR /data
VOLUME /data
ENV HOST=0.0.0.0 PORT=3000 RELAY_DATA=/data
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 CMD ["relay", "health", "--config", "/etc/relay/relay.yaml"]
ENTRYPOINT ["relay"]
CMD ["serve", "--config", "/etc/relay/relay.yaml"]
