#!/bin/sh
# Installs Debian's Chromium, which the browser tests drive, where there is none yet. Needs apt and the right to use it.
set -eu
if command -v chromium >/dev/null 2>&1; then
    echo "Chromium is there: $(command -v chromium)"
    exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "There is no apt-get here: install Chromium by hand and name it in LOOKALIKE_CHROMIUM." >&2
    exit 1
fi
as_root=""
[ "$(id -u)" -eq 0 ] || as_root="sudo"
$as_root apt-get update -qq
$as_root apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core
command -v chromium
