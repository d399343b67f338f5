#!/usr/bin/env bash
# Installs the validators at the versions of the lock files, then checks deploy/:
#
#   tests/deploy/run.sh [BINARY]
#
# BINARY is the weighbridge to check configurations with, and to be the sidecar of egress.py.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# Nothing is left in the work tree.
export PYTHONDONTWRITEBYTECODE=1
tools=.tools/deploy
binary=("${1:+--binary=$1}")
here=tests/deploy

# What is no Python or npm package. As root on Debian it is installed, else it has to be there.
wanted=()
for pair in nft:nftables ip:iproute2 setpriv:util-linux java:default-jre-headless \
  systemd-analyze:systemd; do
  command -v "${pair%%:*}" >/dev/null || wanted+=("${pair#*:}")
done
if ((${#wanted[@]})) && ((EUID == 0)) && command -v apt-get >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}" \
    >/dev/null
fi

mkdir -p "$tools"
if ! cmp -s "$here/requirements.lock" "$tools/requirements.lock"; then
  rm -rf "$tools/venv"
  python3 -m venv "$tools/venv"
  "$tools/venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes \
    -r "$here/requirements.lock"
  cp "$here/requirements.lock" "$tools/requirements.lock"
fi
if ! cmp -s "$here/package-lock.json" "$tools/installed-lock.json"; then
  cp "$here/package.json" "$here/package-lock.json" "$tools/"
  (cd "$tools" && npm ci --ignore-scripts --no-fund --no-audit --loglevel=error)
  cp "$here/package-lock.json" "$tools/installed-lock.json"
fi

python="$tools/venv/bin/python"
status=0
for script in check.py egress.py; do
  arguments=(${binary[0]:+"${binary[0]}"})
  [[ $script == check.py ]] && arguments+=(--tools "$tools")
  "$python" "$here/$script" "${arguments[@]}" || status=1
  "$python" "$here/$script" "${arguments[@]}" --self-test || status=1
done
exit "$status"
