#!/bin/sh
# Installs what the browser tests drive: the headless shell of Debian's Chromium, which is the same engine without the
# windows, at half the processor time; where it cannot be had, Chromium itself. Needs apt and the right to use it.
set -eu
for browser in chromium-headless-shell chromium; do
    if command -v "$browser" >/dev/null 2>&1; then
        # Chromium does; the shell is worth an installation, but not a question for a password
        [ "$browser" = chromium ] && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1 && break
        echo "Chromium is there: $(command -v "$browser")"
        exit 0
    fi
done
if ! command -v apt-get >/dev/null 2>&1; then
    echo "There is no apt-get here: install Chromium by hand and name it in LOOKALIKE_CHROMIUM." >&2
    exit 1
fi
as_root=""
[ "$(id -u)" -eq 0 ] || as_root="sudo"
$as_root apt-get update -qq || true
for browser in chromium-headless-shell chromium; do
    if $as_root apt-get install -y -qq --no-install-recommends "$browser" fonts-dejavu-core >&2; then
        command -v "$browser"
        exit 0
    fi
done
exit 1
