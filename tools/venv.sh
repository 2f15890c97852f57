# Sourced by tools/up and tools/test: one virtual environment for both, in $root/.venv.
# shellcheck shell=bash

# The model converter's download bar needs pip 24.1; Debian 12 makes environments with 23.0.
pip_floor='pip>=24.1'

# Leave with one line that says what to do. $0 is the command that was called.
die() { printf 'tools/%s: %s\n' "$(basename "$0")" "$1" >&2; exit 1; }

# A word on what takes so long; on a terminal the line is taken back by `said`.
say() { if [ -t 2 ]; then printf '\r\033[K%s' "$1" >&2; else printf '%s\n' "$1" >&2; fi; }
said() { if [ -t 2 ]; then printf '\r\033[K' >&2; fi; }

# An interpreter of Python 3.11 or newer: TRUNKLINE_PYTHON, else the first that fits.
find_python() {
  local candidate
  for candidate in ${TRUNKLINE_PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  die 'needs Python 3.11 or newer; on Debian or Ubuntu: apt-get install python3 python3-venv'
}

# Make .venv unless it works. As root on Debian, python3-venv is installed when it is what is missing.
ensure_venv() {
  "$root/.venv/bin/python" -m pip --version >/dev/null 2>&1 && return
  local python
  python=$(find_python) || exit 1
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    if [ "$EUID" -ne 0 ] || ! command -v apt-get >/dev/null; then
      die "$python cannot make environments; install it with: sudo apt-get install python3-venv"
    fi
    say 'Installing python3-venv …'
    { apt-get update && apt-get install -y --no-install-recommends python3-venv; } >/dev/null 2>&1 ||
      die 'apt-get install python3-venv failed; run it by hand to see why'
  fi
  say 'Making a Python environment …'
  rm -rf "$root/.venv"
  "$python" -m venv "$root/.venv" || die "cannot make $root/.venv; see above"
  said
}

# onnxruntime and onnxruntime-gpu own the same module: with the second one there, the first must stay away.
device_extra() {
  if compgen -G "$root/.venv/lib/python3*/site-packages/onnxruntime_gpu-*.dist-info" >/dev/null; then
    echo gpu
  else
    echo cpu
  fi
}

# One line for what usually goes wrong; the rest is in the log.
explain_failure() {
  local log=$1
  said
  if grep -qiE 'no space left|errno 28' "$log"; then
    die "the disk is full; about 1.2 GB are needed in $root"
  elif grep -qE 'NameResolutionError|NewConnectionError|ConnectTimeoutError|Network is unreachable|Temporary failure in name resolution|ProxyError|Failed to establish a new connection' "$log"; then
    die 'no network: the first run installs packages from the package index; connect and run it again'
  fi
  die "installing failed: $(grep -m1 '^ERROR' "$log" || tail -n1 "$log") (see $log)"
}

# Install the project with these extras at the versions of constraints.txt, unless that was done for these files already.
# Each set of extras has its own stamp, so that two commands do not undo each other.
install_project() {
  local extras=$1 pip stamp wanted log="$root/.venv/.install.log"
  stamp="$root/.venv/.installed-${extras//,/-}"
  wanted=$(cat "$root/pyproject.toml" "$root/constraints.txt" | cksum)
  [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && return
  say 'Installing packages (the first time takes a minute or two) …'
  pip=("$root/.venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --retries 2)
  { "${pip[@]}" --upgrade "$pip_floor" && "${pip[@]}" -c "$root/constraints.txt" --editable "$root[$extras]"; } \
    >"$log" 2>&1 || explain_failure "$log"
  said
  printf '%s\n' "$wanted" >"$stamp" || die "the disk is full; free some space in $root"
}
