# syntax=docker/dockerfile:1
# Taghouse as an image, built from this checkout:
#   docker build -t taghouse .                          # --build-arg PROFILE=demo compiles in a quarter of the time
#   docker run -p 7700:7700 -v taghouse:/var/lib/taghouse taghouse
# The first start prints the admin key. Commands: docker exec CONTAINER taghouse tags

FROM rust:1.95-slim-trixie AS build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
ARG PROFILE=release
ENV CARGO_TARGET_DIR=/target TAGHOUSE_NO_INSTALL=1 SOURCE_DATE_EPOCH=0
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/target \
    make dist PROFILE="$PROFILE" \
    && mkdir /image \
    && tar -xzf dist/*.tar.gz -C /image --strip-components=1

FROM debian:trixie-slim
COPY --from=build /image/bin/taghouse /usr/local/bin/taghouse
COPY --from=build /image/share /usr/local/share
COPY --from=build /image/LICENSE /usr/local/share/doc/taghouse/LICENSE
RUN useradd --system --uid 7700 --user-group --home-dir /var/lib/taghouse --shell /usr/sbin/nologin taghouse \
    && install -d -o taghouse -g taghouse -m 0700 /var/lib/taghouse
USER 7700:7700
WORKDIR /var/lib/taghouse
# Flags, other variables or a taghouse.toml in the volume set the rest.
ENV TAGHOUSE_DATA=/var/lib/taghouse TAGHOUSE_LISTEN=0.0.0.0:7700
VOLUME /var/lib/taghouse
EXPOSE 7700
STOPSIGNAL SIGTERM
# The image has no curl. The port is that of TAGHOUSE_LISTEN.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/\"${TAGHOUSE_LISTEN##*:}\" && printf 'GET /api/v1/health HTTP/1.0\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [ \"$status\" = 200 ]"]
ENTRYPOINT ["taghouse"]
CMD ["serve"]
