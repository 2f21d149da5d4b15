# Functions shared by the `run` scripts, which source this file. Everything they install goes into the target directory.

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
export TARGET_DIR

# Installs Debian packages; needs root.
install_packages() {
  local sudo=()
  if ((EUID != 0)); then sudo=(sudo); fi
  "${sudo[@]}" apt-get update
  "${sudo[@]}" apt-get install --yes --no-install-recommends "$@"
}

# Installs the Debian packages that follow $1, unless the command $1 exists.
require_command() {
  if ! command -v "$1" >/dev/null; then install_packages "${@:2}"; fi
}

# Builds the service and the admin CLI. The tests read the environment for the admin CLI with curl.
build_gatehouse() {
  require_command curl curl ca-certificates
  cargo build --locked --package gatehouse-local --package gatehouse-admin
}

# Succeeds if the installation in $2 was made from the current content of the file $1, of which it keeps a copy.
is_current() {
  cmp --silent "$1" "$2/installed-from"
}

# Creates a Python virtual environment in $2 with the packages that the requirements file $1 lists.
install_python() {
  if is_current "$1" "$2"; then return; fi
  create_venv "$2" || return
  "$2/bin/pip" install --quiet --disable-pip-version-check --requirement "$1" || return
  cp "$1" "$2/installed-from"
}

# Creates an empty Python virtual environment in $1. Debian's Python cannot do so without the package python3-venv.
create_venv() {
  if ! python3 -c 'import ensurepip' 2>/dev/null; then install_packages python3-venv || return; fi
  python3 -m venv --clear "$1"
}

# Installs the npm packages of the lock file in the directory $1 so that `require` finds them.
install_node_modules() {
  local from=$1 to=$TARGET_DIR/clients-$(basename "$1")
  export NODE_PATH=$to/node_modules
  if is_current "$from/package-lock.json" "$to"; then return; fi
  require_command npm npm || return
  mkdir -p "$to"
  cp "$from/package.json" "$from/package-lock.json" "$to"
  (cd "$to" && npm ci --no-audit --no-fund --loglevel=error) || return
  cp "$from/package-lock.json" "$to/installed-from"
}
