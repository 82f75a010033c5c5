# syntax=docker/dockerfile:1
# One image for every platform that node:slim has: docker buildx build --platform linux/amd64,linux/arm64 .
# VERSION and REVISION (build arguments) become labels. What it needs to run:
#   - a volume at /data; everything else may be read-only (docker run --read-only -v mbs-data:/data);
#   - a configuration whose listeners and http.host are reachable from outside the container: without one, everything
#     listens on 127.0.0.1, as on any machine. config/knative.yaml is one:
#     docker run ... mqtt-broker-source run --config config/knative.yaml

ARG NODE_VERSION=24

# Runs on the machine that builds, whatever the target: JavaScript is the same everywhere, and classic-level brings its
# binaries for all platforms, so that nothing is compiled and no install script has to run.
FROM --platform=$BUILDPLATFORM node:${NODE_VERSION}-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN --mount=type=cache,target=/root/.npm npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY lib lib
COPY bin bin
RUN npm run build && npm prune --omit=dev --ignore-scripts && mkdir /data

# No RUN below this line: it would need the target's processor.
FROM node:${NODE_VERSION}-slim
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="mqtt-broker-source" \
      org.opencontainers.image.description="An MQTT broker that is itself a Knative event source" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV NODE_ENV=production \
    MBS_DATA_DIR=/data
WORKDIR /app
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY package.json LICENSE ./
COPY config config
# A volume that is made from the image takes its owner over; a bind mount has to be writable for 65532 by itself.
COPY --from=build --chown=65532:65532 /data /data
VOLUME /data
USER 65532:65532
EXPOSE 1883 8883 8080
# Liveness, not readiness: a full outbox is no reason to restart. It asks at the default of http.port; to use another
# port, set MBS_HTTP_PORT, which moves both, and not the file.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.MBS_HTTP_PORT || 8080}/livez`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "dist/bin/mqtt-broker-source.js"]
CMD ["run"]
