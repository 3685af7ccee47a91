#!/bin/sh
# Runs a command with Ray's token in a file that its user alone can read. Mounted secrets belong to whoever
# made them and are read-only, and Heunboard refuses a token that others can read.
set -eu
secret=${RAY_AUTH_TOKEN_SECRET:-/run/secrets/ray_auth_token}
umask 077
if [ -r "$secret" ]; then
  cat "$secret" >"$RAY_AUTH_TOKEN_PATH"
elif [ -e "$secret" ]; then
  echo "with-ray-token: $secret cannot be read by user $(id -u); docker/secrets.sh gives it the right mode" >&2
  exit 2
fi
exec "$@"
