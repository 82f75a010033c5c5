# syntax=docker/dockerfile:1
# One image for linux/amd64 and linux/arm64: docker buildx build --platform linux/amd64,linux/arm64 .
# docs/container.md says how to build, run and check it. Nothing in it is a shell, nothing needs to be root, and all of it
# but the volume may be read-only.

ARG NODE_VERSION=24
# Node.js and the libraries that it needs, on Debian's glibc: no shell, no package manager, no npm. By digest, if it has
# to be the same for ever: --build-arg RUNTIME_IMAGE=gcr.io/distroless/nodejs24-debian13@sha256:…
ARG RUNTIME_IMAGE=gcr.io/distroless/nodejs${NODE_VERSION}-debian13:nonroot

# Runs on the machine that builds, whatever the target: JavaScript is the same everywhere, and classic-level brings its
# binaries for all platforms, so that nothing is compiled and no install script has to run.
FROM --platform=$BUILDPLATFORM node:${NODE_VERSION}-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN --mount=type=cache,target=/root/.npm npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json LICENSE ./
COPY .ci/image-files.mjs .ci/
COPY config config
COPY lib lib
COPY bin bin
RUN npm run build && mkdir /data
# From here on for the target: the one difference is which binary of classic-level is kept.
ARG TARGETARCH
RUN node .ci/image-files.mjs --out /app --arch "${TARGETARCH}"

# No RUN below this line: it would need the target's processor, and a shell.
FROM ${RUNTIME_IMAGE}
ARG VERSION=""
ARG REVISION=""
ARG CREATED=""
ARG SOURCE=""
ARG RUNTIME_IMAGE
LABEL org.opencontainers.image.title="mqtt-broker-source" \
      org.opencontainers.image.description="An MQTT broker that is itself a Knative event source" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.base.name="${RUNTIME_IMAGE}" \
      dev.mqttbrokersource.sbom="/app/sbom.cdx.json"
ENV NODE_ENV=production \
    MBS_DATA_DIR=/data
WORKDIR /app
COPY --from=build /app /app
# A volume that is made from the image takes its owner over; a bind mount has to be writable for 65532 by itself.
COPY --from=build --chown=65532:65532 /data /data
VOLUME /data
USER 65532:65532
EXPOSE 1883 8883 8080
# Liveness, not readiness: a full outbox is no reason to restart. The program asks itself, at http.port as the environment
# or the default says it; where a configuration file moves it, set MBS_HTTP_PORT instead, which moves both.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["/nodejs/bin/node", "dist/bin/mqtt-broker-source.js", "health"]
ENTRYPOINT ["/nodejs/bin/node", "dist/bin/mqtt-broker-source.js"]
CMD ["run"]
