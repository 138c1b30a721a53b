# Sourced by the set-up scripts: install Debian packages as root or by sudo.

# apt_packages NAME...: returns 1, with the command to run, if it cannot.
apt_packages() {
  local as=() apt=(apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
  if ! command -v apt-get >/dev/null; then
    printf 'This system has no apt-get.\n' >&2
    return 1
  fi
  if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }
    then
      as=(sudo)
    else
      printf 'Ask an administrator to run:\n' >&2
      printf '  apt-get install --no-install-recommends %s\n' "$*" >&2
      return 1
    fi
  fi
  as+=(env DEBIAN_FRONTEND=noninteractive)
  "${as[@]}" "${apt[@]}" update </dev/null || true # an old list may do
  "${as[@]}" "${apt[@]}" install -y --no-install-recommends "$@" </dev/null ||
    return 1
}
