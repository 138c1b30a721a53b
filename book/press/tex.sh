#!/usr/bin/env bash
# Install TeX, the fonts of the book and pdftocairo, unless they are here.
# About 175 MB to download and 570 MB on disk, from Debian's own packages.
set -euo pipefail
cd "$(dirname "$0")/../.."

# shellcheck disable=SC2207  # macOS has no mapfile
packages=($(cat book/press/debian-packages.txt))

# On Debian ask the package system; elsewhere look for what the book uses.
is_ready() {
  local name
  for name in lualatex latexmk makeindex pdftocairo kpsewhich; do
    command -v "$name" >/dev/null || return 1
  done
  if command -v dpkg-query >/dev/null; then
    for name in "${packages[@]}"; do
      dpkg-query -W -f '${Status}' "$name" 2>/dev/null |
        grep -q 'ok installed' || return 1
    done
    return
  fi
  for name in titlesec.sty unicode-math.sty tikz.sty tcolorbox.sty; do
    kpsewhich "$name" >/dev/null || return 1
  done
  for name in 'TeX Gyre Pagella Math' 'JetBrains Mono' 'DejaVu Sans Mono'; do
    fc-list : family 2>/dev/null | grep -q "$name" || return 1
  done
}

is_ready && exit 0
printf 'tex: installing TeX and fonts (about 175 MB)\n' >&2
. book/press/apt.sh
if apt_packages "${packages[@]}" && is_ready; then
  printf 'tex: ready\n' >&2
  exit 0
fi
cat >&2 <<'TEXT'
tex: the PDF needs TeX, and it could not be installed here.
  Debian, Ubuntu: run `make tex` as root or as a user with sudo.
  macOS:          brew install --cask mactex-no-gui font-jetbrains-mono \
                    font-dejavu && brew install poppler fontconfig
  elsewhere:      TeX Live 2022 or later (scheme-full), poppler's pdftocairo,
                  and the fonts TeX Gyre, JetBrains Mono, DejaVu, FreeFont.
`make test` and `make html` work without TeX.
TEXT
exit 1
