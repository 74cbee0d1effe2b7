# The broker and brokerctl. `docker build -t cafelog .`, then `docker run -p 7070:7070 -p 8080:8080 cafelog`.
#
# Debian rather than Alpine: LMDB and the compression libraries come as prebuilt programs, and those for glibc are the
# ones that our tests run.

# Everything is compiled here; compose.dev.yaml runs the sources of this stage.
FROM node:22-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json brokerctl ./
COPY scripts/bundle.js scripts/code-cache.cjs scripts/
COPY configs configs
COPY client client
COPY cli cli
COPY src src
# Nothing in the image reads source maps.
RUN npm run build && find dist/bin -name '*.map' -delete

# What the programs need beside them, without compilers and tests; and of that only what Node runs here, which is little more
# than half: no types, maps and pages to read, no modules for bundlers, no native code for other C libraries.
FROM node:22-slim AS modules
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --ignore-scripts \
 && find node_modules -type f \( -name '*.map' -o -name '*.md' -o -name '*.ts' -o -name '*.mts' -o -name '*.cts' \
      -o -name '*.musl.node' \) -delete \
 && rm -rf node_modules/@opentelemetry/*/build/esm node_modules/@opentelemetry/*/build/esnext

FROM node:22-slim
LABEL org.opencontainers.image.title="CafeLog" \
      org.opencontainers.image.description="A mini-Kafka in one Node.js process" \
      org.opencontainers.image.licenses="MIT"
WORKDIR /app
# The broker writes nothing but its data, so the rest may belong to root and be mounted read-only.
RUN mkdir data && chown 1000:1000 data
COPY package.json LICENSE brokerctl ./
COPY configs configs
COPY --from=modules /app/node_modules node_modules
COPY --from=build /app/dist/bin dist/bin
ENV NODE_ENV=production \
    CAFELOG_DATA_DIR=/app/data \
    CAFELOG_CONFIG_DIR=/app/configs
# The user `node`, as a number: Kubernetes can only check a number for not being root.
USER 1000:1000
VOLUME ["/app/data"]
EXPOSE 7070 8080 9092
# Drains its connections and flushes. `docker stop` waits 10 seconds, as long as CAFELOG_SHUTDOWN_TIMEOUT: give it more.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=4s --start-period=60s --retries=3 \
  CMD ["node", "dist/bin/brokerctl.js", "health", "--ready"]
# A list, so that no shell stands between the signal and the broker.
ENTRYPOINT ["node", "dist/bin/cafelog.js"]
