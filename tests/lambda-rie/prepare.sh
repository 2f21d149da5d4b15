# Shared by the scripts of this directory, which source this file. It installs the SAM CLI, which contains the runtime
# interface emulator, and cargo-lambda into the target directory.

# shellcheck source=tests/clients/prepare.sh
source "$(dirname "${BASH_SOURCE[0]}")/../clients/prepare.sh"

VENV=$TARGET_DIR/lambda-rie
install_python tests/lambda-rie/requirements.txt "$VENV"
build_gatehouse
export VENV PATH="$VENV/bin:$PATH" SAM_CLI_TELEMETRY=0
