#!/bin/sh
# Makes the first access tokens of a stack that runs, once: an administrator's in secrets/admin_token, and in
# secrets/metrics_token one for Prometheus, which may only read. Give it the files of docker compose that the
# stack was started with: docker/first-tokens.sh -f FILE -f FILE
set -eu
umask 077
cd "$(dirname "$0")/.."
folder=${HEUNBOARD_SECRETS:-secrets}
if docker compose version >/dev/null 2>&1; then compose="docker compose"; else compose=docker-compose; fi

make_token() {
  file=$folder/$1_token
  if [ -s "$file" ]; then
    echo "$file is there, left as it is"
    return
  fi
  shift
  # shellcheck disable=SC2016 # the container's shell puts the arguments in
  $compose $options exec -T web sh -euc \
    'heunboard token create "$@" --file /tmp/new_token >/dev/null; cat /tmp/new_token; rm /tmp/new_token' \
    token "$@" >"$file.new"
  chmod 444 "$file.new"
  mv "$file.new" "$file"
  echo "wrote $file"
}

options=$*
make_token admin admin --scope admin
make_token metrics prometheus --scope read
