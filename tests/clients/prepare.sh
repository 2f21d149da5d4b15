# What the `run` scripts share; they source this. Everything they make is in the target directory.

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
export TARGET_DIR

# Builds the service and the operator's command.
build_gatehouse() {
  cargo build --locked --package gatehouse-local --package gatehouse-admin
}

# Whether $1, from which $2 was made, is still the same; what was made of it is told by a copy.
is_made() {
  cmp --silent "$1" "$2/made-from"
}

# Makes $2 a Python with the packages in the file $1.
install_python() {
  if is_made "$1" "$2"; then return; fi
  python3 -m venv --clear "$2"
  "$2/bin/pip" install --quiet --disable-pip-version-check --requirement "$1" || return
  cp "$1" "$2/made-from"
}

# Installs the npm packages that the lock file in $1 names, for `require`.
install_node_modules() {
  local from=$1 to=$TARGET_DIR/clients-$(basename "$1")
  export NODE_PATH=$to/node_modules
  if is_made "$from/package-lock.json" "$to"; then return; fi
  mkdir -p "$to"
  cp "$from/package.json" "$from/package-lock.json" "$to"
  (cd "$to" && npm ci --no-audit --no-fund --loglevel=error) || return
  cp "$from/package-lock.json" "$to/made-from"
}
