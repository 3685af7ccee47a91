#!/bin/sh
# Writes fresh secrets for docker compose into ./secrets, once: what is there stays. Nothing has a default.
#
# The folder is closed to every other user of this machine (0700). Within it the files are readable, because a
# container gets each as it is, and the users in the containers are not yours.
set -eu
umask 077
folder=${1:-$(dirname "$0")/../secrets}
mkdir -p "$folder"
chmod 700 "$folder"
for name in database_password ray_auth_token grafana_password; do
  if [ -s "$folder/$name" ]; then
    echo "secrets/$name is there, left as it is"
    continue
  fi
  od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$folder/$name.new"
  chmod 444 "$folder/$name.new"
  mv "$folder/$name.new" "$folder/$name"
  echo "wrote secrets/$name"
done
