#!/bin/sh
# Writes .env with fresh secrets for docker compose, once. Nothing has a default password.
set -eu
cd "$(dirname "$0")/.."
if [ -e .env ]; then echo ".env exists, left as it is"; exit 0; fi
umask 077
secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
printf 'POSTGRES_PASSWORD=%s\nRAY_AUTH_TOKEN=%s\n' "$(secret)" "$(secret)" >.env
echo "wrote .env"
