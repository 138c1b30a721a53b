#!/usr/bin/env bash
# Make .venv with everything that is pinned in requirements.txt, and the
# package itself. A second call finds nothing to do. The reader's own Python is
# only asked to create the environment; nothing is installed into it.
#
#   PYTHON=python3.12       another interpreter
#   TORCH_INDEX=https://download.pytorch.org/whl/cpu
#                           another build of PyTorch, of the same version
set -euo pipefail
cd "$(dirname "$0")/../.."
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
export PIP_REQUIRE_VIRTUALENV=1

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

# The environment is right if this text stands in its stamp.
wanted_stamp() {
  pwd
  printf 'torch index: %s\n' "${TORCH_INDEX:-}"
  cat requirements.txt book/press/setup.sh
  sed '/^\[tool\.pytest/,$d' pyproject.toml
}
stamp=.venv/.stamp
wanted=$(wanted_stamp)
is_ready() {
  [ -x .venv/bin/python ] && [ -f "$stamp" ] && [ "$wanted" = "$(cat $stamp)" ]
}
is_ready && exit 0

# Two makes at once take turns.
mkdir -p .cache
if command -v flock >/dev/null; then
  exec 9>.cache/setup.lock
  flock 9
  is_ready && exit 0
fi

good='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))'
find_python() {
  local name
  for name in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.14}; do
    if command -v "$name" >/dev/null && "$name" -c "$good" >/dev/null; then
      command -v "$name"
      return
    fi
  done
  return 1
}

apt_install() {
  # shellcheck source=book/press/apt.sh
  . book/press/apt.sh
  apt_packages "$@"
}

python=$(find_python) || {
  [ -z "${PYTHON:-}" ] || die "$PYTHON is not a Python from 3.11 to 3.14"
  say "no Python from 3.11 to 3.14 found; trying to install python3"
  apt_install python3 python3-venv || die "install Python 3.11 to 3.14 first"
  python=$(find_python) || die "python3 is too old; set PYTHON=/path/to/python"
}

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  say "$python cannot make environments; installing python3-venv"
  apt_install "python$version-venv" || die "install python$version-venv first"
fi

if ! [ -x .venv/bin/python ] || ! .venv/bin/python -c "$good" 2>/dev/null ||
  [ "$(head -n 1 "$stamp" 2>/dev/null || pwd)" != "$(pwd)" ]; then
  say "making .venv with $("$python" --version)"
  "$python" -m venv --clear .venv
fi
rm -f "$stamp"

pip() { .venv/bin/python -m pip --retries 5 "$@"; }
if [ -n "${TORCH_INDEX:-}" ]; then
  say "installing PyTorch from $TORCH_INDEX"
  pip install -q --index-url "$TORCH_INDEX" "$(grep '^torch==' requirements.txt)"
fi
say "installing what requirements.txt pins (a few minutes the first time)"
pip install -q -r requirements.txt
pip install -q --no-deps --no-build-isolation -e .
printf '%s\n' "$wanted" >"$stamp"
say "ready: $(.venv/bin/python --version) in .venv"
