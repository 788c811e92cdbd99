#!/bin/sh
# Installs what `make web-demo-test` needs on top of Node.js: Chromium, on Debian and Ubuntu.
set -eu

if ! command -v node >/dev/null || [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 20 ]; then
  echo "error: Node.js 20 or newer is needed, with npm; see https://nodejs.org" >&2
  exit 2
fi
for name in chromium chromium-browser google-chrome; do
  if command -v "$name" >/dev/null; then
    echo "there already: $(command -v "$name")"
    exit 0
  fi
done
if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
  echo "error: no Chromium and no way to install it here (apt-get as root); install Chrome" >&2
  echo "or Chromium yourself" >&2
  exit 2
fi
# Another installation may hold the lock: wait for it.
apt-get -o DPkg::Lock::Timeout=600 update
apt-get -o DPkg::Lock::Timeout=600 install --yes --no-install-recommends chromium fonts-dejavu-core
