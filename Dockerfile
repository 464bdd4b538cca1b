# One image for every role (ROLES). Node runs the sources as they are, so nothing is built: the first stage installs,
# the second has only what runs.

FROM node:24-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Not `npm ci`: it refuses a lock file without the optional packages of other platforms. Versions and hashes are the lock
# file's all the same (docs/decisions/0045-settings-and-install.md).
RUN npm install --omit=dev --no-save --no-audit --no-fund

FROM node:24-slim
ENV NODE_ENV=production \
    HOST=0.0.0.0 \
    PORT=8000 \
    DATA_DIR=/data \
    ENABLE_FILE_LOGGING=false
# The user `node` (1000) owns nothing here but the data: it cannot change the program.
RUN install --directory --owner=node --group=node --mode=0711 /data && install --directory --owner=node --group=node --mode=0755 /audit
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY package.json ./
COPY migrations migrations
COPY contracts/asyncapi.json contracts/asyncapi.json
COPY deploy/mosquitto deploy/mosquitto
COPY src src
USER node
VOLUME /data
EXPOSE 8000 1883
# Ready: every part this process needs answers. Who watches a process from outside asks /health/live and /metrics.
HEALTHCHECK --interval=10s --timeout=5s --start-period=90s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/health/ready`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "src/loqey.js", "start"]
