#!/bin/sh
# Makes the first access token, an administrator's, and keeps it in secrets/admin_token, once.
# Give it the options of docker compose that the stack was started with: docker/first-token.sh -f FILE -f FILE
set -eu
umask 077
cd "$(dirname "$0")/.."
file=${HEUNBOARD_SECRETS:-secrets}/admin_token
if [ -s "$file" ]; then
  echo "$file is there, left as it is"
  exit 0
fi
if docker compose version >/dev/null 2>&1; then compose="docker compose"; else compose=docker-compose; fi
$compose "$@" exec -T web heunboard token create admin --scope admin >"$file.new"
mv "$file.new" "$file"
echo "wrote $file"
